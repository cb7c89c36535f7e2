-- include: clock.lua
--
-- verdicts.lua: what a listing told about the records that waited for it; the messages behind them are due at once. Safe to repeat.
--
-- KEYS  1 unknown   2 reader        (see claim.lua)
-- ARGV  1 token of the reader   2 ms until the next listing of this scope may begin   3 ms until those it could not tell are due again,
--       twice as long each time   4 ms that this grows to   5 ... for each record: its key, when its call ended, verdict (found | absent | undecided), evidence JSON
-- A verdict counts only for the very call it was made for. What was found stays found, whatever an older look has not seen.

for i = 5, #ARGV, 4 do
  local record, ended, verdict, evidence = ARGV[i], ARGV[i + 1], ARGV[i + 2], ARGV[i + 3]
  local r = redis.call('HMGET', record, 's', 'en', 'q', 'id', 'dl', 'v')
  if r[1] == 'unknown' and r[2] == ended and r[6] ~= 'found' then
    redis.call('HSET', record, 'rc', '1')
    local due = now
    if verdict == 'undecided' then
      local in_vain = redis.call('HINCRBY', record, 'un', 1)
      due = now + math.min(math.max(tonumber(ARGV[3]), tonumber(ARGV[4])), tonumber(ARGV[3]) * 2 ^ math.min(in_vain - 1, 40))
      redis.call('HSET', record, 'rb', whole(due))
    else
      redis.call('HSET', record, 'v', verdict, 'ev', evidence)
      redis.call('ZREM', KEYS[1], record)
    end
    if r[3] and r[4] then
      if r[5] then due = math.min(due, tonumber(r[5])) end
      redis.call('ZADD', r[3], 'XX', whole(due), r[4])
    end
  else
    redis.call('ZREM', KEYS[1], record)
  end
end
if redis.call('GET', KEYS[2]) == ARGV[1] then
  redis.call('SET', KEYS[2], 'rest', 'PX', ARGV[2])
end
return now
