-- include: clock.lua
--
-- cancel.lua: marks messages, or a batch, as cancelled: no new call is made for them. Safe to repeat.
--
-- KEYS  1 cancelled: hash of marks
local cancelled = KEYS[1]
-- ARGV  1... marks: 'm:' and a message id, or 'b:' and a batch id
-- Answers how many were new

local KEPT_MS = 90 * 86400 * 1000

local new = 0
for _, mark in ipairs(ARGV) do new = new + redis.call('HSETNX', cancelled, mark, whole(now)) end
redis.call('PEXPIRE', cancelled, KEPT_MS)
return new
