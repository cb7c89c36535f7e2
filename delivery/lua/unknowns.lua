-- include: clock.lua
-- include: record.lua
--
-- unknowns.lua: which records wait for this listing? The longest due come first.
--
-- KEYS  1 unknown: zset record -> when it is looked at next (ms)
local unknown = KEYS[1]
-- ARGV  1 how many to skip: those that were answered before   2 how many to answer at most
local passed, most = tonumber(ARGV[1]), tonumber(ARGV[2])
-- Answers now (ms), then for each record: its key, when its call ended and began at the earliest, and when it is looked at next (ms), its
-- needle, its baseline, the message_id of its job ('' if nobody has asked since an older release wrote it), and how many answers of its
-- calls said OK about another contact or group. Records that are not unknown any more, or have a verdict, are dropped.

local answer = { whole(now) }
for _, record in ipairs(redis.call('ZRANGE', unknown, passed, passed + most - 1)) do
  local r = read(record, 'state', 'lost_at', 'claimed_at', 'look_at', 'needle', 'baseline', 'verdict', 'message', 'another')
  if r.state ~= 'unknown' or r.verdict then
    redis.call('ZREM', unknown, record)
  else
    for _, value in ipairs({ record, r.lost_at, r.claimed_at or '0', r.look_at or '0', r.needle or '', r.baseline or '',
      r.message or '', r.another or '0' }) do
      answer[#answer + 1] = value
    end
  end
end
return answer
