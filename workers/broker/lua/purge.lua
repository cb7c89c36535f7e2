-- purge.lua: forgets dead letters. Safe to repeat.
--
-- KEYS  1 dead: zset id -> died at (ms)   2 dead bodies: hash id -> message   3 dead reasons: hash id -> why
-- ARGV  1... ids
-- Answers how many there were.

redis.call('HDEL', KEYS[2], unpack(ARGV))
redis.call('HDEL', KEYS[3], unpack(ARGV))
return redis.call('ZREM', KEYS[1], unpack(ARGV))
