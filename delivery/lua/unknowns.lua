-- include: clock.lua
-- include: record.lua
--
-- unknowns.lua: which records wait for this listing?
--
-- KEYS  1 unknown: zset record -> when its lost call ended (ms)
local unknown = KEYS[1]
-- ARGV  1 at most so many
-- Answers now (ms), then for each record: its key, when its call ended, its needle, its baseline. What is not unknown any more is dropped.

local answer = { whole(now) }
for _, record in ipairs(redis.call('ZRANGE', unknown, 0, tonumber(ARGV[1]) - 1)) do
  local r = read(record, 'state', 'lost_at', 'needle', 'baseline', 'verdict')
  if r.state ~= 'unknown' or r.verdict then
    redis.call('ZREM', unknown, record)
  else
    for _, value in ipairs({ record, r.lost_at, r.needle or '', r.baseline or '' }) do answer[#answer + 1] = value end
  end
end
return answer
