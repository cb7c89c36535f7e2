-- include: clock.lua
--
-- note.lua: notes the ids of same-named groups before the first call of create_group, and starts the lease anew. Safe to repeat.
--
-- KEYS  1 record (see claim.lua)
-- ARGV  1 token   2 baseline JSON   3 cover: ms the call may take
-- Answers the lease (ms), or 0 when the record is another's.

if redis.call('HGET', KEYS[1], 't') ~= ARGV[1] then return 0 end
redis.call('HSET', KEYS[1], 'bl', ARGV[2], 'le', whole(now + tonumber(ARGV[3])))
return tonumber(ARGV[3])
