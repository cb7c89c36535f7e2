-- include: clock.lua
-- include: record.lua
--
-- anew.lua: forgets the record of a job that ended as unknown, so that the job calls again: an operator has looked. Safe to repeat.
--
-- KEYS  1 record
local record = KEYS[1]
-- Answers 1, or 0 when there is nothing to forget, or when another job under this key is finding out what happened.

local r = read(record, 'state', 'bodies', 'id')
if r.state ~= 'unknown' then return 0 end
if r.id and redis.call('HEXISTS', r.bodies, r.id) == 1 then return 0 end
return redis.call('DEL', record)
