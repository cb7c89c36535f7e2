-- include: clock.lua
--
-- memory.lua: does Redis still know the number that this worker wrote last? Writes the next number, known or not. Safe to repeat.
--
-- KEYS  1 memory: the number this worker wrote last   2 forgot: hash, at (ms) and times
-- ARGV  1 the number that is surely written, 0 for none   2 the next   3 ms that the number is kept
--       4 ms within which the reports of several workers are one loss   5 ms that a loss is shown
-- Answers 1 if the number is gone or older: an old copy was restored, a replica promoted that lagged, or all was flushed; else 0.

local memory, forgot = KEYS[1], KEYS[2]
local surely, following, kept, one_loss, shown = tonumber(ARGV[1]), ARGV[2], ARGV[3], tonumber(ARGV[4]), ARGV[5]

local found = tonumber(redis.call('GET', memory) or 0)
local gone = found < surely

if gone then
  local at = tonumber(redis.call('HGET', forgot, 'at') or '')
  if not at or at < now - one_loss or at > now then redis.call('HINCRBY', forgot, 'times', 1) end
  redis.call('HSET', forgot, 'at', whole(now))
  redis.call('PEXPIRE', forgot, shown)
end
redis.call('SET', memory, following, 'PX', kept)
return gone and 1 or 0
