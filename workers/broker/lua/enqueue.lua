-- include: proof.lua
--
-- enqueue.lua: puts one message on its queue. Safe to repeat: an id that has a body already is not pushed again.
--
-- KEYS  1 ready: list of ids   2 bodies: hash id -> message   3 delayed: zset id -> due (ms)
-- ARGV  1 id   2 message   3 due (Unix ms), 0 for now
-- Answers 1 if it was new, else 0.

local ready, bodies, delayed = KEYS[1], KEYS[2], KEYS[3]
local id, message, due = ARGV[1], ARGV[2], ARGV[3]

redis.call('HDEL', bodies, NOBODY)
if redis.call('HSETNX', bodies, id, message) == 0 then return 0 end
local added
if due == '0' then
  added = redis.pcall('RPUSH', ready, id)
else
  added = redis.pcall('ZADD', delayed, due, id)
end
if type(added) == 'table' then
  -- A repeat would take a body without an id in the queue for a message that is enqueued.
  redis.call('HDEL', bodies, id)
  return added
end
return 1
