-- include: proof.lua
--
-- park.lua: messages of one worker whose hold is known wait with the others of that hold, many at once. Safe to repeat.
--
-- KEYS  1 holds   2 parked (see account.lua)   3 acks: set of what this worker has outstanding
local holds, parked, acks = KEYS[1], KEYS[2], KEYS[3]
-- ARGV  1 hold   2 place: their queue and kind   3... for each message: its id, when it was enqueued (ms)
local name, place = ARGV[1], ARGV[1] .. '|' .. ARGV[2]
-- Answers 1, or 0 when that hold is over: nothing was changed.

if redis.call('HEXISTS', holds, name) == 0 then return 0 end
redis.call('SREM', acks, NOBODY)
for i = 3, #ARGV, 2 do
  local id, since = ARGV[i], ARGV[i + 1]
  if redis.call('SISMEMBER', acks, id) == 1 then
    redis.call('ZADD', parked .. ':' .. place, since, id)
    redis.call('SADD', parked, place)
    redis.call('SREM', acks, id)
  end
end
return 1
