-- include: clock.lua
--
-- memory.lua: does Redis still know the number that this worker wrote last? Writes the next number, known or not. Safe to repeat.
--
-- KEYS  1 memory: the number this worker wrote last   2 forgot: hash, at (ms) and times
-- ARGV  1 the number that is surely written, 0 for none   2 the next   3 ms within which the reports of several workers are one loss
-- Answers 1 if the number is gone or older: an old copy was restored, a replica promoted that lagged, or all was flushed; else 0.

local memory, forgot = KEYS[1], KEYS[2]
local surely, following, one_loss = tonumber(ARGV[1]), ARGV[2], tonumber(ARGV[3])

-- How long the number of a worker that is gone is kept, and how long a loss is shown.
local KEPT_MS, SHOWN_MS = 86400000, 7 * 86400000

local found = tonumber(redis.call('GET', memory) or 0)
local gone = found < surely

if gone then
  local at = tonumber(redis.call('HGET', forgot, 'at') or '')
  if not at or at < now - one_loss or at > now then redis.call('HINCRBY', forgot, 'times', 1) end
  redis.call('HSET', forgot, 'at', whole(now))
  redis.call('PEXPIRE', forgot, SHOWN_MS)
end
redis.call('SET', memory, following, 'PX', KEPT_MS)
return gone and 1 or 0
