-- include: clock.lua
--
-- keep.lua: goes on holding what a listing under way holds, since nobody knows how long it takes. Safe to repeat.
--
-- KEYS  1 record   2 reader        (see claim.lua)
-- ARGV  1 token   2 cover: ms that the lease, and the right to list, are to last from now
-- Answers the lease (ms), or 0 when nothing is held by this token any more.

local kept = 0
local record = redis.call('HMGET', KEYS[1], 's', 't')
if record[1] == 'running' and record[2] == ARGV[1] then
  redis.call('HSET', KEYS[1], 'le', whole(now + tonumber(ARGV[2])))
  kept = tonumber(ARGV[2])
end
if redis.call('GET', KEYS[2]) == ARGV[1] then
  redis.call('PEXPIRE', KEYS[2], ARGV[2])
  kept = tonumber(ARGV[2])
end
return kept
