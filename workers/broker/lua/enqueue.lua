-- enqueue.lua: puts one message on its queue. Safe to repeat: an id that has a body already is not pushed again.
--
-- KEYS  1 ready: list of ids   2 bodies: hash id -> message   3 delayed: zset id -> due (ms)
-- ARGV  1 id   2 message   3 due (Unix ms), 0 for now
-- Answers 1 if it was new, else 0.

if redis.call('HSETNX', KEYS[2], ARGV[1], ARGV[2]) == 0 then return 0 end
if ARGV[3] == '0' then
  redis.call('RPUSH', KEYS[1], ARGV[1])
else
  redis.call('ZADD', KEYS[3], ARGV[3], ARGV[1])
end
return 1
