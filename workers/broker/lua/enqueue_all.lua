-- include: proof.lua
--
-- enqueue_all.lua: puts messages on their queues. Safe to repeat: an id that has a body already is not pushed again.
--
-- KEYS  2 for each message: ready (list of ids), bodies (hash id -> message)
-- ARGV  2 for each message: id, message
-- Answers how many were new.

local new = 0
for i = 1, #KEYS, 2 do
  local ready, bodies, id, message = KEYS[i], KEYS[i + 1], ARGV[i], ARGV[i + 1]
  if redis.call('HSETNX', bodies, id, message) == 1 then
    local pushed = redis.pcall('RPUSH', ready, id)
    if type(pushed) == 'table' then
      -- A repeat would take a body that stands alone for a message that is on its queue.
      redis.call('HDEL', bodies, id)
      return pushed
    end
    new = new + 1
  end
  -- Not first: a script that has written is refused nothing any more, so a full Redis would take the message.
  redis.call('HDEL', bodies, NOBODY)
end
return new
