-- include: clock.lua
-- include: account.lua
--
-- reserve.lua: a slot of the account's pace for a call that is no job's own (a listing that reads back, or notes a baseline).
--
-- KEYS  1 pace (see account.lua)
-- ARGV  1 interval: µs between requests   2 horizon: ms a slot may lie ahead
-- Answers the milliseconds to wait until the slot and 0, or those after which to ask again and 1.

local interval_us, horizon_ms = tonumber(ARGV[1]), tonumber(ARGV[2])
local slot, again = reserve(KEYS[1], interval_us, horizon_ms)
if slot then return { slot, 0 } end
return { math.ceil(again), 1 }
