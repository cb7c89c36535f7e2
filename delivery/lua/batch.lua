-- batch.lua: a prelude of other scripts: jobs of one batch are counted together, each once, in the step that answers it. Needs
-- clock.lua, and proof.lua to count.
--
--   batch    hash    id; size: how many jobs it has, as far as anybody said; began_at (when the job that was answered first
--                    was sent, or an import began to enqueue; ms), finished_at (ms); told: 1 once batch.finished was written; lane:
--                    where its jobs are; enqueued: how many jobs all runs of an import have enqueued; others: how many jobs were
--                    answered before the first of these was enqueued; imports: the lane of these; succeeded, replayed, failed:<kind>:
--                    how many ended as that; answered: how many in all; <lane>|succeeded and so on: how many of one lane
--   batches  zset    digest of the id -> when its last job was answered (ms)

local BATCHES_KEPT = 10000
local BATCHES_LOOKED_AT = 16

local function read_batch(key)
  local flat, batch = redis.call('HGETALL', key), {}
  for i = 1, #flat, 2 do batch[flat[i]] = flat[i + 1] end
  return batch
end

-- How long (ms) the counts of a batch are kept from now on: while answers are awaited, as long as a job may wait in a hold. `size` is
-- what the caller knows of it; 0 for nothing.
local function kept_for(batch, size, ttl_ms, life_ms)
  local awaited = not batch.told and (size > 0 or batch.size or batch.enqueued)
  return whole(awaited and life_ms or ttl_ms)
end

-- How many jobs were answered that no import enqueued: services may have jobs of their own in a batch.
local function answered_for_others(batch)
  local sum = 0
  for name, count in pairs(batch) do
    local lane = string.match(name, '^(.-)|')
    if lane and lane ~= batch.imports then sum = sum + (tonumber(count) or 0) end
  end
  return math.max(sum, tonumber(batch.others) or 0)
end

-- Writes batch.finished, once, when as many jobs are answered as there are, and all that imports have enqueued.
local function finish_batch(key, events, maxlen, ttl_ms)
  local batch, failed = read_batch(key), {}
  local size, answered = tonumber(batch.size) or 0, tonumber(batch.answered) or 0
  if batch.told or size == 0 or answered < size then return end
  if batch.imports and answered - answered_for_others(batch) < (tonumber(batch.enqueued) or 0) then return end
  for name, count in pairs(batch) do
    local kind = string.match(name, '^failed:(.+)$')
    if kind then failed[kind] = tonumber(count) end
  end
  local event = {
    specversion = '1.0', id = 'batch.finished/' .. batch.id, source = '/coupontools-worker', type = 'coupontools.batch.finished',
    time = rfc3339(now), datacontenttype = 'application/json', dataschema = 'urn:coupontools-worker:batch.finished:v1', batchid = batch.id,
    data = {
      batch_id = batch.id, total = answered, succeeded = tonumber(batch.succeeded) or 0, replayed = tonumber(batch.replayed) or 0,
      failed = failed, began_at = rfc3339(tonumber(batch.began_at) or now), finished_at = rfc3339(now),
    },
  }
  redis.call('XADD', events, 'MAXLEN', '~', maxlen, '*', 'type', event.type, 'event', cjson.encode(event))
  redis.call('HSET', key, 'told', 1, 'finished_at', whole(now))
  redis.call('PEXPIRE', key, whole(ttl_ms))
end

-- Removes the batches from the list that had no answer since `before` (ms) and whose counts are gone. Counts stay while answers are
-- awaited.
local function forget_batches(counts, before)
  local prefix = string.sub(counts.key, 1, -#counts.digest - 1)
  redis.call('ZREM', counts.all, NOBODY)
  for _, digest in ipairs(redis.call('ZRANGEBYSCORE', counts.all, '-inf', before, 'LIMIT', 0, BATCHES_LOOKED_AT)) do
    if redis.call('EXISTS', prefix .. digest) == 0 then redis.call('ZREM', counts.all, digest) end
  end
end

-- Tries all that count_answer does: if Redis refused that after the answer's events, a repeat would write them again. `counts` has key,
-- all, digest, id, lane, size (0 for unknown) and as.
local function try_count(counts, ttl_ms, life_ms)
  redis.call('HSETNX', counts.key, 'id', counts.id)
  redis.call('HINCRBY', counts.key, 'answered', 0)
  redis.call('HSET', counts.key, 'id', counts.id)
  counts.before, counts.ttl = read_batch(counts.key), ttl_ms
  redis.call('PEXPIRE', counts.key, kept_for(counts.before, counts.size, ttl_ms, life_ms))
  redis.call('ZADD', counts.all, whole(now), counts.digest)
  forget_batches(counts, whole(now - ttl_ms))
  redis.call('ZREMRANGEBYRANK', counts.all, 0, -BATCHES_KEPT - 1)
end

-- Counts one answer; try_count has tried that before.
local function count_answer(counts, since, events, maxlen)
  local key, before = counts.key, counts.before
  local size = math.max(counts.size, tonumber(before.size) or 0)
  if counts.size == size and size > 0 then redis.call('HSET', key, 'size', whole(size)) end
  -- A producer's clock may be ahead: no batch begins after its first answer.
  redis.call('HSETNX', key, 'began_at', whole(math.min(since, now)))
  redis.call('HINCRBY', key, counts.as, 1)
  redis.call('HINCRBY', key, counts.lane .. '|' .. counts.as, 1)
  local answered = redis.call('HINCRBY', key, 'answered', 1)
  -- The batch's pace is that of the lane whose job is answered first.
  if answered == 1 then redis.call('HSET', key, 'lane', counts.lane) end
  if size > 0 and answered >= size then finish_batch(key, events, maxlen, counts.ttl) end
end
