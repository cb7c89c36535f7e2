-- include: clock.lua
-- include: pauses.lua
-- include: record.lua
--
-- verdicts.lua: writes the verdicts of a listing on the records that waited for it; messages of decided records are due at once. Safe to
-- repeat.
--
-- KEYS  1 unknown: zset record -> when it is looked at next (ms)   2 reader: lock, taken while a worker reads this listing
local unknown, reader = KEYS[1], KEYS[2]
-- ARGV  1 token of the reader   2 rest: ms until the next listing may begin   3 again: ms until undecided records are due again,
--       twice as long each time   4 seldom: ms that this grows to   5 ... for each record: its key, when its call ended,
--       verdict (found | absent | undecided), evidence (JSON; for undecided: why, if that is known)
local token, rest, again, seldom = ARGV[1], ARGV[2], tonumber(ARGV[3]), tonumber(ARGV[4])

-- A verdict counts only for the very call it was made for, and only while a message waits for it: if it were kept for a retry days later,
-- the retry would trust a listing that was read too early. What was found stays found, even if an older listing did not show it.
local function judge(record, lost_at, verdict, evidence)
  local r = read(record, 'state', 'lost_at', 'waiting_in', 'bodies', 'id', 'deadline', 'verdict', 'looks')
  local waited_for = not r.id or redis.call('HEXISTS', r.bodies, r.id) == 1
  if r.state ~= 'unknown' or r.lost_at ~= lost_at or r.verdict == 'found' or not waited_for then
    redis.call('ZREM', unknown, record)
    return
  end
  local due, looks = now, (tonumber(r.looks) or 0) + 1
  if verdict == 'undecided' then
    due = after_undecided(again, seldom, looks)
  end
  -- Wake the message first: a repeat passes over a record that was found.
  if r.waiting_in and r.id then
    redis.call('ZADD', r.waiting_in, 'XX', whole(math.min(due, tonumber(r.deadline) or due)), r.id)
  end
  if verdict == 'undecided' then
    redis.call('ZADD', unknown, 'XX', whole(due), record)
    write(record, { reconciled = '1', look_at = due, looks = looks, why = cjson.decode(evidence).why })
  else
    write(record, { reconciled = '1', verdict = verdict, evidence = evidence })
    redis.call('ZREM', unknown, record)
  end
end

if redis.call('GET', reader) == token then redis.call('SET', reader, 'rest', 'PX', rest) end
for i = 5, #ARGV, 4 do judge(ARGV[i], ARGV[i + 1], ARGV[i + 2], ARGV[i + 3]) end
return now
