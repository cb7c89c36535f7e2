-- batch.lua: a prelude of other scripts: jobs of one batch are counted together, each once, in the step that answers it. Needs clock.lua.
--
--   batch    hash    id; size: how many jobs it has, as far as anybody said; began_at, finished_at (ms); told: 1 once batch.finished was
--                    written; succeeded, replayed, failed:<kind>: how many ended so; answered: how many in all
--   batches  zset    digest of the id -> when its last job was answered (ms)

local BATCHES_KEPT = 10000

-- Writes batch.finished, once, when as many jobs are answered as there are.
local function finish_batch(key, events, maxlen)
  local flat, batch, failed = redis.call('HGETALL', key), {}, {}
  for i = 1, #flat, 2 do
    batch[flat[i]] = flat[i + 1]
    local kind = string.match(flat[i], '^failed:(.+)$')
    if kind then failed[kind] = tonumber(flat[i + 1]) end
  end
  local size = tonumber(batch.size) or 0
  if batch.told or size == 0 or (tonumber(batch.answered) or 0) < size then return end
  local event = {
    specversion = '1.0', id = 'batch.finished/' .. batch.id, source = '/coupontools-worker', type = 'coupontools.batch.finished',
    time = rfc3339(now), datacontenttype = 'application/json', dataschema = 'urn:coupontools-worker:batch.finished:v1', batchid = batch.id,
    data = {
      batch_id = batch.id, total = size, succeeded = tonumber(batch.succeeded) or 0, replayed = tonumber(batch.replayed) or 0,
      failed = failed, began_at = rfc3339(tonumber(batch.began_at) or now), finished_at = rfc3339(now),
    },
  }
  redis.call('XADD', events, 'MAXLEN', '~', maxlen, '*', 'type', event.type, 'event', cjson.encode(event))
  redis.call('HSET', key, 'told', 1, 'finished_at', whole(now))
end

-- How large a batch is, as the largest that anybody said.
local function size_batch(key, id, size)
  redis.call('HSETNX', key, 'id', id)
  if size > (tonumber(redis.call('HGET', key, 'size') or '0') or 0) then redis.call('HSET', key, 'size', whole(size)) end
end

-- `counts` has key, all, digest, id, size (0 for unknown) and as. What could be refused here was tried before (answered.lua).
local function count_answer(counts, since)
  size_batch(counts.key, counts.id, counts.size)
  redis.call('HSETNX', counts.key, 'began_at', whole(since))
  redis.call('HINCRBY', counts.key, counts.as, 1)
  redis.call('HINCRBY', counts.key, 'answered', 1)
end
