-- include: proof.lua
--
-- postpone.lua: an outstanding message waits until it is due. Safe to repeat.
--
-- KEYS  1 acks: set of this worker's outstanding ids   2 delayed: zset id -> due (ms)
-- ARGV  1 id   2 due (Unix ms)
-- Answers 1 if it was outstanding here, else 0.

local acks, delayed, id, due = KEYS[1], KEYS[2], ARGV[1], ARGV[2]

redis.call('SREM', acks, NOBODY)
if redis.call('SISMEMBER', acks, id) == 0 then return 0 end
redis.call('ZADD', delayed, due, id)
redis.call('SREM', acks, id)
return 1
