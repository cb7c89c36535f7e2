-- include: clock.lua
-- include: proof.lua
--
-- fetch.lua: takes the next messages of a queue and notes them as outstanding: first those due in `delayed`, in due order, then the list.
-- The worker is registered in the same step, so that its messages are taken over when it dies, whatever happened to its heartbeat.
--
-- KEYS  1 ready: list of ids   2 bodies: hash id -> message   3 acks: set of this worker's outstanding ids   4 delayed: zset id -> due (ms)
--       5 forward: set of ids that were brought forward: their place in the list stays, even when they are answered
--       6 epoch: the number that this consumer's fetches must have at least   7 heartbeats   8 workers (see tend.lua)
--       9 deaths: hash id -> how many workers have died with it   10 suspects: hash worker -> what it tries alone: "until|queue|id"
--       11... the sets of all that this worker has outstanding, of each queue
local ready, bodies, acks, delayed, forward, epoch, heartbeats, workers, deaths, suspects = unpack(KEYS)
-- ARGV  1 most messages   2 most bytes of messages, but one message in any case
--       3 bytes of the longest message that is read; in place of a longer one, the answer has its size
--       4 number of this fetch   5 worker   6 its JSON   7 queue   8 deaths after which a message only gets its answer; after more it is
--       not even read   9 deaths from which on a message is tried alone
local most, room, longest = tonumber(ARGV[1]), tonumber(ARGV[2]), tonumber(ARGV[3])
local number, me, about, queue = tonumber(ARGV[4]), ARGV[5], ARGV[6], ARGV[7]
-- Answers Redis's time (ms), how many messages per worker wait in the list, 1 if this worker must take nothing else until a suspect has
-- ended (else 0), then id, message (or its size, or nil), deaths, id, message ...
-- An id that is outstanding here already is a producer's repeat and is dropped; so is a due id whose message was answered meanwhile.

local ends_after, alone_from = tonumber(ARGV[8]), tonumber(ARGV[9])

local answer = { whole(now), 0, 0 }

-- This fetch was sent before its consumer reconciled or left, and arrives after: nobody would know what it took.
if number < tonumber(redis.call('GET', epoch) or 0) then return answer end

-- 1. Must this worker try a suspect, or is it trying one? -------------------------------------------------------------------------------

local function outstanding()
  local count = 0
  for i = 11, #KEYS do count = count + redis.call('SCARD', KEYS[i]) end
  return count
end

local function register()
  if redis.call('ZSCORE', heartbeats, me) then return end
  redis.call('HSETNX', workers, me, about)
  redis.call('ZADD', heartbeats, whole(now), me)
end

local trial = redis.call('HGET', suspects, me)
if trial then
  local till, its_queue, id = string.match(trial, '^(%d+)|(.-)|(.*)$')
  till = tonumber(till)
  local in_time = till > now and till <= now + PAUSE.suspect
  -- If another worker took the suspect or put it off, its time has changed.
  local waits = in_time and tonumber(redis.call('ZSCORE', delayed, id) or '') == till
  local tried = its_queue == queue and redis.call('SISMEMBER', acks, id) == 1
  if (its_queue ~= queue and in_time) or tried or (waits and outstanding() > 0) then
    answer[3] = 1
    return answer
  end
  local body = waits and redis.call('HGET', bodies, id)
  if body then
    register()
    redis.call('ZREM', delayed, NOBODY)
    redis.call('SADD', acks, id)
    redis.call('ZREM', delayed, id)
    return { whole(now), 0, 1, id, body, redis.call('HGET', deaths, id) or '0' }
  end
  redis.call('HDEL', suspects, me)
end

-- 2. Is there anything? -------------------------------------------------------------------------------------------------------------------

local due = redis.call('ZRANGEBYSCORE', delayed, '-inf', whole(now), 'LIMIT', 0, most)
local waiting, all = redis.call('LLEN', ready), redis.call('HLEN', workers)
if #due == 0 and waiting == 0 then return answer end

register()
redis.call('ZREM', delayed, NOBODY)
redis.call('LTRIM', ready, 0, -1)
redis.call('SREM', forward, NOBODY)
redis.call('DEL', forward .. NOBODY)

local any_deaths = redis.call('EXISTS', deaths) == 1
local function deaths_of(id) return any_deaths and tonumber(redis.call('HGET', deaths, id)) or 0 end

local function size_of(id) return redis.call('HSTRLEN', bodies, id) end

-- Returns the message, or only its size if it is too long or has killed too many workers.
local function body_of(id, died)
  local size = size_of(id)
  if size > longest or (size > 0 and died > ends_after) then return size end
  return redis.call('HGET', bodies, id)
end

-- Returns how many of these ids fit: some hundred messages of 1 MiB at once may be more than a worker's memory holds.
local function fitting(ids)
  for at, id in ipairs(ids) do
    local size = size_of(id)
    if size > longest then size = 0 end
    if size > room and (at > 1 or #answer > 3) then return at - 1 end
    room = room - size
  end
  return #ids
end

-- Puts a suspect off until this worker has nothing else in hand.
local function suspect(id)
  if redis.call('HEXISTS', suspects, me) == 1 then
    redis.call('ZADD', delayed, whole(now + PAUSE.second_suspect), id)
    return
  end
  redis.call('ZADD', delayed, whole(now + PAUSE.suspect), id)
  redis.call('HSET', suspects, me, whole(now + PAUSE.suspect) .. '|' .. queue .. '|' .. id)
  answer[3] = 1
end

local function take(id, body, died)
  if redis.call('SADD', acks, id) == 1 then
    answer[#answer + 1] = id
    answer[#answer + 1] = body
    answer[#answer + 1] = whole(died)
  end
end

local taken = fitting(due)
local gone = {}
for i = 1, taken do
  local died = deaths_of(due[i])
  local body = body_of(due[i], died)
  if body and type(body) == 'string' and died >= alone_from then
    suspect(due[i])
  else
    if body then take(due[i], body, died) end
    gone[#gone + 1] = due[i]
  end
end
if #gone > 0 then redis.call('ZREM', delayed, unpack(gone)) end

if taken == #due and taken < most then
  local ids = redis.call('LRANGE', ready, 0, most - taken - 1)
  local count = fitting(ids)
  local stale = {}
  for i = 1, count do
    local died = deaths_of(ids[i])
    local body = body_of(ids[i], died)
    -- The id of a message that was brought forward is still in the list: drop it once the message is answered. Until then take it from
    -- here, too: the ledger catches a message that is fetched twice, and nobody can tell here whether its id is anywhere else.
    if not body and redis.call('SISMEMBER', forward, ids[i]) == 1 then
      stale[#stale + 1] = ids[i]
    elseif type(body) == 'string' and died >= alone_from then
      suspect(ids[i])
    else
      take(ids[i], body, died)
    end
  end
  if count > 0 then redis.call('LTRIM', ready, count, -1) end
  if #stale > 0 then redis.call('SREM', forward, unpack(stale)) end
  waiting = waiting - count
  -- An empty list has no places to note. Otherwise the note of a message that was taken from its place in the list would stay for good.
  if waiting == 0 then redis.call('DEL', forward) end
end
answer[2] = math.floor(waiting / math.max(1, all))
return answer
