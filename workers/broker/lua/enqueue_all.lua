-- enqueue_all.lua: puts messages on their queues, all of them or none. Safe to repeat: an id that has a body already is not pushed again.
--
-- KEYS  2 for each message: ready (list of ids), bodies (hash id -> message)
-- ARGV  2 for each message: id, message
-- Answers how many were new.

local new = 0
for i = 1, #KEYS, 2 do
  local ready, bodies, id, message = KEYS[i], KEYS[i + 1], ARGV[i], ARGV[i + 1]
  if redis.call('HSETNX', bodies, id, message) == 1 then
    redis.call('RPUSH', ready, id)
    new = new + 1
  end
end
return new
