-- include: proof.lua
--
-- fetch.lua: takes the next messages of a queue and notes them as outstanding: what is due first, in the order it fell due, then the list.
--
-- KEYS  1 ready: list of ids   2 bodies: hash id -> message   3 acks: set of this worker's outstanding ids   4 delayed: zset id -> due (ms)
--       5 forward: set of ids that were brought forward: their place in the list is left behind when they are answered
-- ARGV  1 at most so many   2 at most so many bytes of messages, but one message in any case
--       3 bytes of the longest message that is read; of a longer one the answer has its size in place of the message
-- Answers Redis's time (ms), then id, message (or nil), id, message ...
-- An id that is outstanding here already is a producer's repeat and is dropped; so is a due id whose message was answered meanwhile.

local ready, bodies, acks, delayed, forward = KEYS[1], KEYS[2], KEYS[3], KEYS[4], KEYS[5]
local most, room, longest = tonumber(ARGV[1]), tonumber(ARGV[2]), tonumber(ARGV[3])

local clock = redis.call('TIME')
local now = string.format('%.0f', tonumber(clock[1]) * 1000 + math.floor(tonumber(clock[2]) / 1000))
local answer = { now }
redis.call('ZREM', delayed, NOBODY)
redis.call('LTRIM', ready, 0, -1)
redis.call('SREM', forward, NOBODY)

local function size_of(id) return redis.call('HSTRLEN', bodies, id) end

-- The message; of one that is too long, its size alone.
local function body_of(id)
  local size = size_of(id)
  if size > longest then return size end
  return redis.call('HGET', bodies, id)
end

-- How many of these ids fit; a hundred messages of 5 MB at once are more than a worker's memory may hold.
local function fitting(ids)
  for at, id in ipairs(ids) do
    local size = size_of(id)
    if size > longest then size = 0 end
    if size > room and (at > 1 or #answer > 1) then return at - 1 end
    room = room - size
  end
  return #ids
end

local function take(id, body)
  if redis.call('SADD', acks, id) == 1 then
    answer[#answer + 1] = id
    answer[#answer + 1] = body
  end
end

local due = redis.call('ZRANGEBYSCORE', delayed, '-inf', now, 'LIMIT', 0, most)
local taken = fitting(due)
for i = 1, taken do
  local body = body_of(due[i])
  if body then take(due[i], body) end
end
if taken > 0 then redis.call('ZREM', delayed, unpack(due, 1, taken)) end

if taken == #due and taken < most then
  local ids = redis.call('LRANGE', ready, 0, most - taken - 1)
  local count = fitting(ids)
  local stale = {}
  for i = 1, count do
    local body = body_of(ids[i])
    -- What was brought forward and is answered has left its place in the list behind. As long as it is not answered it is taken from there
    -- as well: twice is caught by the ledger, and nobody can tell here whether it stands anywhere else.
    if not body and redis.call('SISMEMBER', forward, ids[i]) == 1 then
      stale[#stale + 1] = ids[i]
    else
      take(ids[i], body)
    end
  end
  if count > 0 then redis.call('LTRIM', ready, count, -1) end
  if #stale > 0 then redis.call('SREM', forward, unpack(stale)) end
end
return answer
