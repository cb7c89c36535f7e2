-- include: clock.lua
-- include: cancelled.lua
--
-- cancel.lua: marks messages, or a batch, as cancelled: no new call is made for them. Safe to repeat.
--
-- KEYS  1 cancelled: as cancelled.lua has it
local cancelled = KEYS[1]
-- ARGV  1 ms that an outcome is remembered   2... marks: 'm:' and a message id, or 'b:' and a batch id
-- Answers how many were new

local new = 0
for i = 2, #ARGV do new = new + mark_cancelled(cancelled, ARGV[i], now + tonumber(ARGV[1])) end
return new
