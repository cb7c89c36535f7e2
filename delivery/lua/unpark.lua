-- include: clock.lua
-- include: proof.lua
-- include: pauses.lua
-- include: account.lua
-- include: holds.lua
--
-- unpark.lua: brings parked messages back when their hold is over, in order and in batches; while a hold lasts, lets one out to probe it.
-- Also ends holds whose time is over. Every worker runs it several times a second while there is a hold or something is parked.
--
-- KEYS  in the order of the next line (see account.lua and holds.lua)
local holds, parked, still, held_account, held_sms, held_email, troubles, events, workers, heartbeats = unpack(KEYS)
-- ARGV  1 maxlen of the events' stream   2 prefix of the keys of delayed messages   3 is any message waiting or under way? ('1')
local maxlen, delayed_prefix, is_busy = ARGV[1], ARGV[2], ARGV[3] == '1'
-- Answers how many messages came back, and the holds that began and ended (see holds.lua).

local BATCH = 500
-- If a message that was let out to probe did not (it was answered before, or its lost call was found), twice as many follow, up to this
-- number. One of them probes, and claim.lua parks the others again.
local LET_OUT_MOST = 256
local account = { holds = holds, still = still, held_account = held_account, held_sms = held_sms, held_email = held_email,
  troubles = troubles, events = events, maxlen = maxlen, workers = workers, heartbeats = heartbeats }

local places = {}
for _, place in ipairs(redis.call('SMEMBERS', parked)) do
  local name, queue, call = string.match(place, '^(.*)|(.-)|(.-)$')
  -- What a stranger has put into the set is no place.
  if name then places[#places + 1] = { key = parked .. ':' .. place, place = place, name = name, queue = queue, call = call } end
end
-- Redis returns a set in no order.
table.sort(places, function(a, b) return a.place < b.place end)

-- Sends messages of a place back to their queue: the first, or those from `from` on. They fell due when they were enqueued, so they come
-- in order and first. If a producer's clock is ahead, they are due now: no message must wait for that clock.
local function let_go(place, most, from)
  from = from or 0
  local ids = redis.call('ZRANGE', place.key, from, from + most - 1, 'WITHSCORES')
  if #ids > 0 then
    redis.call('ZREM', place.key, NOBODY)
    local due = {}
    for i = 1, #ids, 2 do due[i], due[i + 1] = whole(math.min(ids[i + 1], now)), ids[i] end
    redis.call('ZADD', delayed_prefix .. place.queue, unpack(due))
    for i = 1, #ids, 2 do redis.call('ZREM', place.key, ids[i]) end
  end
  if redis.call('EXISTS', place.key) == 0 then redis.call('SREM', parked, place.place) end
  return #ids / 2
end

local function is_paused(scope) return redis.call('HEXISTS', holds, scope .. '/paused') == 1 end

-- The place, of those parked by this hold, from which to let out a probe. A message from a queue that no worker takes, or that an operator
-- holds, would not probe, and the others would wait until all of these are let out.
local served = #places > 0 and queues_of(workers, heartbeats)
local function candidate(name, hold)
  local same, other
  for _, place in ipairs(places) do
    if place.name == name and (not served or served[place.queue]) and not is_paused(string.match(place.call, '^[^/]*')) then
      if place.call == hold.call then same = same or place else other = other or place end
    end
  end
  if hold.kind ~= 'refused' or hold.any then return same or other end
  if hold.bare then return other or same end
  return same
end

local function is_parked(call)
  for _, place in ipairs(places) do
    if place.call == call then return true end
  end
  return false
end

-- Are all messages of the refused kind that this hold has parked from queues that no worker takes?
local function nobody_takes(name, hold)
  local any = false
  for _, place in ipairs(places) do
    if place.name == name and place.call == hold.call then
      if not served or served[place.queue] then return false end
      any = true
    end
  end
  return any
end

-- The rank in a place from which the next probe is taken. Neighbours are often of one group, and may all be refused for one reason: each
-- probe of a refusal without a code is taken far from those before it (multiples of the golden ratio fill a range evenly). So is each probe
-- of a kind of call that fails: otherwise a few jobs that fail while others would pass, and come back in time, would make every probe.
local function probe_rank(place, hold)
  if not (hold.bare or hold.call_only) then return 0 end
  local count = redis.call('ZCARD', place.key)
  return math.max(0, math.min(count - hold.letting, math.floor((hold.tried or 0) * 0.618034 % 1 * count)))
end

-- 1. Holds whose time has come -----------------------------------------------------------------------------------------------------

local flat = redis.call('HGETALL', holds)
for i = 1, #flat, 2 do
  local name, hold = flat[i], cjson.decode(flat[i + 1])
  local let_out = hold.let_out or -math.huge
  if hold.untold then tell_begun(account, name, hold) end
  if hold.bare then
    -- Calls of the refused kind leave the probe to other kinds. Else a flood of the refused kind would win every probe.
    local place = candidate(name, hold)
    local others = place and place.call ~= hold.call or hold.others and let_out + PAUSE.let_out_again > now or nil
    if others ~= hold.others then
      hold.others, hold.any = others, hold.any and not others or nil
      write_hold(account, name, hold)
    end
  end
  local is_due = hold.kind ~= 'paused' and (hold.retry_at <= now or hold.retry_at - now > (hold.length or PAUSE.probe_furthest))
  local is_forgotten = hold.call_only and is_due and now - hold.retry_at >= PAUSE.outage_left
  if is_forgotten and is_parked(hold.call) then
    -- Such calls are parked, under this hold or another, and come when it is over. Start the time anew: else the outage would end before
    -- the first of them can probe, and all would call at once.
    is_forgotten, hold.retry_at = false, now
    write_hold(account, name, hold)
  end
  local secrets = hold.secret and secrets_of(holds, workers, heartbeats)
  if secrets and secrets[hold.secret] == nil then
    -- No living worker uses this secret any more.
    end_hold(account, name, hold)
  elseif hold.kind == 'asked' and is_due then
    end_hold(account, name, hold)
  elseif hold.kind == 'outage' and is_due and not is_busy and #places == 0 then
    -- No job is left to probe the outage, and none waits for its end.
    end_hold(account, name, hold)
  elseif is_forgotten then
    -- Other jobs keep the workers busy, but nobody makes this kind of call any more.
    end_hold(account, name, hold)
  elseif is_due and not is_paused('account') and (let_out > now or let_out + PAUSE.let_out_again <= now) then
    local place = candidate(name, hold)
    if hold.kind == 'refused' and not hold.any then
      -- Lonely: the refused call is the only one left (all others were let out and are the same call). Abandoned: nobody makes calls of
      -- the refused kind any more, or nobody can, since no worker takes their queues.
      local lonely = hold.bare and place and place.call == hold.call and redis.call('ZCARD', place.key) <= (hold.letting or 1)
      local abandoned = not hold.bare and not place and (now - hold.since >= PAUSE.any_probes or nobody_takes(name, hold))
      if lonely or abandoned then
        hold.any = true
        place = place or candidate(name, hold)
        write_hold(account, name, hold)
      end
    end
    if place then
      hold.let_out, hold.letting = now, math.min(LET_OUT_MOST, 2 * (hold.letting or 0.5))
      write_hold(account, name, hold)
      let_go(place, hold.letting, probe_rank(place, hold))
    end
  end
end

-- Workers may have come or gone, and with them the reason why deadlines stand still.
if #flat > 0 then keep_time(account) end

-- 2. Messages whose hold is over -----------------------------------------------------------------------------------------------------

local moved = 0
for _, place in ipairs(places) do
  local over = redis.call('HEXISTS', holds, place.name) == 0
  -- Messages that were parked when every secret was refused come back once a living worker uses one that is not.
  local free = not over and string.match(place.name, '^account/refused/') and others_may_call(holds, workers, heartbeats)
  if moved < BATCH and (over or free) then moved = moved + let_go(place, BATCH - moved) end
end
return { moved, changes() }
