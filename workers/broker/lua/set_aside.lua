-- include: clock.lua
-- include: proof.lua
-- include: tell.lua
--
-- set_aside.lua: turns an entry that is no readable job into a dead letter, and writes its event. Safe to repeat.
--
-- KEYS  1 acks: set of this worker's outstanding ids   2 bodies: hash id -> message
--       3 dead: zset id -> died at (ms)   4 dead bodies: hash id -> message   5 dead reasons: hash id -> why   6 events: stream
--       and, if a caller waits for the answer, 7 reply: list
-- ARGV  1 id   2 reason JSON   3 event type   4 event JSON   5 maxlen of the stream
-- Answers 1 if it was outstanding here, else 0.

local acks, bodies, dead, dead_bodies, dead_reasons, events, reply = unpack(KEYS)
local id, reason, kind, event, maxlen = unpack(ARGV)

local LONGEST_LETTER = 320 * 1024
if redis.call('SISMEMBER', acks, id) == 0 then return 0 end
redis.call('SREM', acks, NOBODY)
redis.call('HDEL', bodies, NOBODY)
if reply and not try_push(reply) then reply = nil end
local size = redis.call('HSTRLEN', bodies, id)
-- A message that is too long is kept without its content: shown, but not sent again.
local body = size > LONGEST_LETTER and '{"bytes":' .. size .. '}' or redis.call('HGET', bodies, id)
if body then
  redis.call('ZADD', dead, whole(now), id)
  redis.call('HSET', dead_bodies, id, body)
  redis.call('HSET', dead_reasons, id, reason)
end
tell(events, maxlen, { { kind, event } }, reply)
redis.call('SREM', acks, id)
redis.call('HDEL', bodies, id)
return 1
