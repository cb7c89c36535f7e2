-- include: clock.lua
-- include: record.lua
--
-- renew.lua: renews the lease and the reader lock of a listing: nobody knows how long a listing takes. Safe to repeat.
--
-- KEYS  1 record   2 reader: lock, taken while a worker reads this listing
local record, reader = KEYS[1], KEYS[2]
-- ARGV  1 token   2 cover: ms for which both last from now   3 baseline to note (JSON), '' for none
local token, cover, baseline = ARGV[1], tonumber(ARGV[2]), ARGV[3]
-- Answers the lease (ms), or 0 when this token holds neither any more.

local renewed = 0
local r = read(record, 'state', 'token')
if r.state == 'running' and r.token == token then
  write(record, { lease_end = now + cover, baseline = baseline ~= '' and baseline or nil })
  renewed = cover
end
if redis.call('GET', reader) == token then
  redis.call('PEXPIRE', reader, whole(cover))
  renewed = cover
end
return renewed
