-- include: clock.lua
-- include: record.lua
--
-- anew.lua: an operator has looked, and a job that ended as unknown is to call again: its record is forgotten. Safe to repeat.
--
-- KEYS  1 record
local record = KEYS[1]
-- Answers 1, or 0 when there is nothing to forget, or when another job of this key is finding out.

local r = read(record, 'state', 'bodies', 'id')
if r.state ~= 'unknown' then return 0 end
if r.id and redis.call('HEXISTS', r.bodies, r.id) == 1 then return 0 end
return redis.call('DEL', record)
