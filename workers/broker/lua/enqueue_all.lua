-- include: clock.lua
-- include: proof.lua
-- include: marks.lua
--
-- enqueue_all.lua: puts messages on their queues. Safe to repeat: an id that has a body already, or that was answered, is not pushed again.
--
-- KEYS  4 for each message: ready (list of ids), bodies (hash id -> message), answered and marks (how it was answered, see delivery's
--       answered.lua and marks.lua); then, if they are one batch's, its counts (see batch.lua)
-- ARGV  3 for each message: id, mark, message; then, for a batch, its id, the lane of these messages, and the ms that its counts are kept
-- Answers how many were new.

local batch = #KEYS % 4 == 1 and KEYS[#KEYS]
local new = 0
local function count()
  if batch then redis.call('HINCRBY', batch, 'enqueued', new) end
  return new
end

if batch then
  -- Write the counts first: if Redis refuses that, no message may be on its queue without being counted.
  redis.call('HSETNX', batch, 'id', ARGV[#ARGV - 2])
  redis.call('HSETNX', batch, 'imports', ARGV[#ARGV - 1])
  redis.call('HSETNX', batch, 'began_at', whole(now))
  local others = redis.call('HEXISTS', batch, 'enqueued') == 0 and redis.call('HGET', batch, 'answered')
  if others then redis.call('HSETNX', batch, 'others', others) end
  redis.call('HINCRBY', batch, 'enqueued', 0)
  redis.call('PEXPIRE', batch, ARGV[#ARGV])
end

for i = 1, (#KEYS - #KEYS % 4) / 4 do
  local ready, bodies, answered, marks = KEYS[4 * i - 3], KEYS[4 * i - 2], KEYS[4 * i - 1], KEYS[4 * i]
  local id, mark, message = ARGV[3 * i - 2], ARGV[3 * i - 1], ARGV[3 * i]
  -- A worker may have answered the message since a first try. Counted once more, its batch would wait for an answer that never comes.
  local was_answered = redis.call('EXISTS', answered) == 1 or marked(marks, mark)
  if not was_answered and redis.call('HSETNX', bodies, id, message) == 1 then
    local pushed = redis.pcall('RPUSH', ready, id)
    if type(pushed) == 'table' then
      -- A repeat would take a body without an id in the queue for a message that is enqueued.
      redis.call('HDEL', bodies, id)
      count()
      return pushed
    end
    new = new + 1
  end
  -- Do this last: once a script has written, a full Redis refuses it nothing any more, and would take the message.
  redis.call('HDEL', bodies, NOBODY)
end
return count()
