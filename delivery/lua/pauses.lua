-- pauses.lua: a prelude of other scripts: calculates the pauses. Needs clock.lua.
--
-- In any script, PAUSE.<name> stands for a number of milliseconds: the loader takes it from `Pause` in delivery/retry.py, the one
-- place for every pause. So no script has a number of its own for how long something waits.

-- When a job whose key is busy asks again: after about as long as the other call has taken so far, so that the end of a quick call is
-- noticed quickly, and a long one costs few questions.
local function after_busy(claimed_at, lease_end)
  return math.min(lease_end, now + math.max(PAUSE.busy_first, now - claimed_at)) + PAUSE.lock_slack
end

-- When a job that waits for another one asks again: the longer it has waited, the more seldom, or hundreds of waiting jobs would do
-- nothing but ask.
local function after_other(since)
  return now + math.max(PAUSE.other_first, math.min(PAUSE.other_last, (now - since) / 4))
end

-- When a look-up asks again while another claim reads the listing, and its reader lock lasts for another `left` ms.
local function after_reader(left)
  return now + math.min(math.max(PAUSE.reader_first, left) + PAUSE.lock_slack, PAUSE.reader_last)
end

-- When to look up a call whose answer was lost at `lost_at`: `after` ms later. If the deadline comes first, the call is looked up once,
-- shortly before the deadline; only `found` counts then.
local function look_time(lost_at, after, deadline)
  local due = lost_at + after
  if due < deadline or deadline <= now then return due end
  return math.max(now, deadline - math.min(PAUSE.last_look, (deadline - lost_at) / 2))
end

-- When a record that `looks` listings left undecided is looked up again: after twice as long each time.
local function after_undecided(again, seldom, looks)
  return now + math.min(math.max(again, seldom), again * 2 ^ math.min(looks - 1, 40))
end

-- How long a hold waits for its next probe, twice as long each time; `before` is its last interval, nil for the first.
local function probe_interval(kind, bare, before)
  if not before then return PAUSE.probe_first end
  local last = bare and PAUSE.bare_last or kind == 'outage' and PAUSE.outage_last or PAUSE.refused_last
  return math.min(before * 2, last)
end

-- When a call that is refused while others pass is tried again, after it was refused `times` times.
local function after_refused_alone(times)
  return now + math.min(PAUSE.alone_last, PAUSE.alone_first * 2 ^ math.min(times, 20))
end

-- How soon a lane asks for a slot again while it is the turn of another.
local function after_turn(interval_us)
  return math.max(1, math.min(PAUSE.turn_last, interval_us / 1000))
end
