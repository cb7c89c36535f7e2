-- set_aside.lua: an entry that is no readable job becomes a dead letter with its event. Safe to repeat.
--
-- KEYS  1 acks: set of this worker's outstanding ids   2 bodies: hash id -> message
--       3 dead: zset id -> died at (ms)   4 dead bodies: hash id -> message   5 dead reasons: hash id -> why   6 events: stream
-- ARGV  1 id   2 reason JSON   3 event type   4 event JSON   5 maxlen of the stream
-- Answers 1 if it was outstanding here, else 0.

if redis.call('SISMEMBER', KEYS[1], ARGV[1]) == 0 then return 0 end
local clock = redis.call('TIME')
local now = string.format('%.0f', tonumber(clock[1]) * 1000 + math.floor(tonumber(clock[2]) / 1000))
redis.call('XADD', KEYS[6], 'MAXLEN', '~', ARGV[5], '*', 'type', ARGV[3], 'event', ARGV[4])
local body = redis.call('HGET', KEYS[2], ARGV[1])
if body then
  redis.call('ZADD', KEYS[3], now, ARGV[1])
  redis.call('HSET', KEYS[4], ARGV[1], body)
  redis.call('HSET', KEYS[5], ARGV[1], ARGV[2])
end
redis.call('SREM', KEYS[1], ARGV[1])
redis.call('HDEL', KEYS[2], ARGV[1])
return 1
