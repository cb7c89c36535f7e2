-- include: proof.lua
--
-- park.lua: parks messages of one worker under a hold that the worker knows of, many at once. Safe to repeat.
--
-- KEYS  1 holds   2 parked (see account.lua)   3 acks: set of the ids that this worker has outstanding
local holds, parked, acks = KEYS[1], KEYS[2], KEYS[3]
-- ARGV  1 hold   2 place: their queue and kind   3 life (ms)   4... for each message: its id, when it was enqueued (ms), the record of its
--       job ('' for one that changes nothing)
local name, place, life = ARGV[1], ARGV[1] .. '|' .. ARGV[2], tonumber(ARGV[3])
-- Answers 1, or 0 when that hold is over: nothing was changed.

if redis.call('HEXISTS', holds, name) == 0 then return 0 end
redis.call('SREM', acks, NOBODY)
for i = 4, #ARGV, 3 do
  local id, since, record = ARGV[i], ARGV[i + 1], ARGV[i + 2]
  if redis.call('SISMEMBER', acks, id) == 1 then
    -- The job may have been carried out before: if its record ran out during the hold, the call would be made again.
    if record ~= '' and redis.call('PTTL', record) < life then redis.call('PEXPIRE', record, life) end
    redis.call('ZADD', parked .. ':' .. place, since, id)
    redis.call('SADD', parked, place)
    redis.call('SREM', acks, id)
  end
end
return 1
