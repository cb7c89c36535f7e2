-- minutes.lua: a prelude of other scripts: what was answered in each minute, counted in the step that answers it. Needs clock.lua.
--
--   <minutes>:<n>  hash  of the minute that began n minutes after 1970: <lane>|<outcome> -> how many jobs; <lane>|first -> when the first of
--                        them was answered (ms)

local MINUTES_KEPT_MS = 2 * 86400 * 1000

local MINUTE = 60000
local function minute_of(minutes) return minutes .. ':' .. whole(math.floor(now / MINUTE)) end

-- `tally` is the name of the minutes, the lane and the outcome. Tries what count_minute does, and does what a new field needs.
local function try_minute(tally)
  local key = minute_of(tally[1])
  if redis.call('HINCRBY', key, tally[2] .. '|' .. tally[3], 0) > 0 then return end
  redis.call('HSETNX', key, tally[2] .. '|first', whole(now))
  redis.call('PEXPIRE', key, MINUTES_KEPT_MS)
end

local function count_minute(tally) redis.call('HINCRBY', minute_of(tally[1]), tally[2] .. '|' .. tally[3], 1) end
