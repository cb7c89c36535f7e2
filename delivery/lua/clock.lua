-- clock.lua: a prelude of other scripts. Redis's clock is the only one that all workers share.

local clock = redis.call('TIME')
local now_us = tonumber(clock[1]) * 1000000 + tonumber(clock[2])
local now = math.floor(now_us / 1000)

-- Lua writes large numbers as 1.7e+15; Redis would store that text.
local function whole(number)
  return string.format('%.0f', number)
end
