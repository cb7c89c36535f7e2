-- include: clock.lua
-- include: pauses.lua
-- include: account.lua
--
-- reserve.lua: reserves a slot of the account's pace for a call that has none from a claim: a listing that reads back, or a job's call
-- when the listing of its baseline has used the claim's slot.
--
-- KEYS  1 pace (see account.lua)
local pace = KEYS[1]
-- ARGV  1 JSON: lane, weight, waiting (see reserve)   2 interval: µs between requests   3 horizon: ms a slot may be ahead
local who, interval_us, horizon_ms = cjson.decode(ARGV[1]), tonumber(ARGV[2]), tonumber(ARGV[3])
-- Answers the milliseconds until the slot, and 0; or the milliseconds after which to ask again, and 1.

local slot, again = reserve(pace, who, interval_us, horizon_ms)
if slot then return { slot, 0 } end
return { math.ceil(again), 1 }
