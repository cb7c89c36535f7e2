-- include: clock.lua
--
-- unknowns.lua: which records wait for a listing of this scope.
--
-- KEYS  1 unknown: zset record -> when its lost call ended (ms)
-- ARGV  1 at most so many
-- Answers now (ms), then for each record: its key, when it ended, its needle, its baseline. Records that are not unknown any more are dropped.

local answer = { whole(now) }
for _, record in ipairs(redis.call('ZRANGE', KEYS[1], 0, tonumber(ARGV[1]) - 1)) do
  local r = redis.call('HMGET', record, 's', 'en', 'nd', 'bl', 'v')
  if r[1] ~= 'unknown' or r[5] then
    redis.call('ZREM', KEYS[1], record)
  else
    for _, value in ipairs({ record, r[2], r[3] or '', r[4] or '' }) do answer[#answer + 1] = value end
  end
end
return answer
