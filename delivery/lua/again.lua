-- include: clock.lua
-- include: record.lua
--
-- again.lua: keeps the record of a job that ended as unknown and is sent again as long as any unsettled record: the job must be read back
-- first, however long its new message waits for a worker or in a hold. Safe to repeat.
--
-- KEYS  1 record
local record = KEYS[1]
-- ARGV  1 life (ms)
local life = tonumber(ARGV[1])
-- Answers 1, or 0 when the record is not unknown, or lives as long anyway.

if read(record, 'state').state ~= 'unknown' or redis.call('PTTL', record) >= life then return 0 end
return redis.call('PEXPIRE', record, life)
