-- purge.lua: forgets dead letters. Safe to repeat.
--
-- KEYS  1 dead: zset id -> died at (ms)   2 dead bodies: hash id -> message   3 dead reasons: hash id -> why
-- ARGV  1... ids
-- Answers how many there were.

local dead, dead_bodies, dead_reasons = KEYS[1], KEYS[2], KEYS[3]

redis.call('HDEL', dead_bodies, unpack(ARGV))
redis.call('HDEL', dead_reasons, unpack(ARGV))
return redis.call('ZREM', dead, unpack(ARGV))
