-- include: clock.lua
-- include: cancelled.lua
--
-- cancel.lua: marks messages, or a batch, as cancelled: no new call is made for them. Safe to repeat.
--
-- KEYS  1 cancelled: as cancelled.lua has it   2 counts of the batch (see batch.lua)
local cancelled, counts = KEYS[1], KEYS[2]
-- ARGV  1 ms that an outcome is remembered   2... marks: 'm:' and a message id, or 'b:' and a batch id
-- Answers how many were new

local ttl_ms, left_ms = tonumber(ARGV[1]), redis.call('PTTL', counts)
local new = 0
for i = 2, #ARGV do
  -- Counts that live now may be gone sooner, when nothing of the batch is left to be answered; the next of its name is not cancelled.
  local sooner = string.sub(ARGV[i], 1, 2) == 'b:' and left_ms >= 0 and left_ms < ttl_ms
  new = new + mark_cancelled(cancelled, ARGV[i], now + (sooner and left_ms or ttl_ms))
end
return new
