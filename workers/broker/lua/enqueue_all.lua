-- include: proof.lua
--
-- enqueue_all.lua: puts messages on their queues. Safe to repeat: an id that has a body already, or that was answered, is not pushed again.
--
-- KEYS  3 for each message: ready (list of ids), bodies (hash id -> message), answered (how it was answered); then, if they are one
--       batch's, its counts (see batch.lua)
-- ARGV  2 for each message: id, message; then, for a batch, its id and the ms that its counts are kept
-- Answers how many were new.

local batch = #KEYS % 3 == 1 and KEYS[#KEYS]
local new = 0
local function count()
  if batch and new > 0 then redis.call('HINCRBY', batch, 'enqueued', new) end
  return new
end

if batch then
  -- First: what is on its queue is to be counted, too.
  redis.call('HSETNX', batch, 'id', ARGV[#ARGV - 1])
  redis.call('HINCRBY', batch, 'enqueued', 0)
  redis.call('PEXPIRE', batch, ARGV[#ARGV])
end
for i = 1, (#KEYS - #KEYS % 3) / 3 do
  local ready, bodies, answered = KEYS[3 * i - 2], KEYS[3 * i - 1], KEYS[3 * i]
  local id, message = ARGV[2 * i - 1], ARGV[2 * i]
  -- A worker may answer it between a first try and its repeat. Counted once more, its batch would wait for an answer that never comes.
  if redis.call('EXISTS', answered) == 0 and redis.call('HSETNX', bodies, id, message) == 1 then
    local pushed = redis.pcall('RPUSH', ready, id)
    if type(pushed) == 'table' then
      -- A repeat would take a body that stands alone for a message that is on its queue.
      redis.call('HDEL', bodies, id)
      count()
      return pushed
    end
    new = new + 1
  end
  -- Not first: a script that has written is refused nothing any more, so a full Redis would take the message.
  redis.call('HDEL', bodies, NOBODY)
end
return count()
