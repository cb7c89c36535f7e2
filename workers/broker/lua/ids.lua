-- ids.lua: reads some ids of the messages of a queue; changes nothing.
--
-- KEYS  1 bodies: hash id -> message
-- ARGV  1 cursor, 0 to begin   2 about how many
-- Answers the next cursor, 0 at the end, and ids.

local next, found = unpack(redis.call('HSCAN', KEYS[1], ARGV[1], 'COUNT', ARGV[2]))
local ids = {}
for i = 1, #found, 2 do ids[#ids + 1] = found[i] end
return { next, ids }
