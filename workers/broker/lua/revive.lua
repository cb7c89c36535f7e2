-- revive.lua: a dead letter becomes a job again, under a new id. Safe to repeat: who comes second finds no letter.
--
-- KEYS  1 dead: zset id -> died at (ms)   2 dead bodies: hash id -> message   3 dead reasons: hash id -> why
--       4 ready: list of ids   5 bodies: hash id -> message
-- ARGV  1 id of the letter   2 id of the new message   3 new message
-- Answers 1, or 0 when the letter is not there any more (retried, purged or too old).

if redis.call('HDEL', KEYS[2], ARGV[1]) == 0 then return 0 end
redis.call('ZREM', KEYS[1], ARGV[1])
redis.call('HDEL', KEYS[3], ARGV[1])
redis.call('HSET', KEYS[5], ARGV[2], ARGV[3])
redis.call('RPUSH', KEYS[4], ARGV[2])
return 1
