-- include: clock.lua
-- include: proof.lua
-- include: pauses.lua
-- include: account.lua
-- include: holds.lua
--
-- unpark.lua: what a hold has parked comes back when it is over, in order and in batches; while it lasts, one message is let out to probe.
-- Ends holds whose time is over by itself. Every worker runs it several times a second while there is a hold or something is parked.
--
-- KEYS  in the order of the next line (see account.lua and holds.lua)
local holds, parked, still, held_account, held_sms, held_email, troubles, events, workers, heartbeats = unpack(KEYS)
-- ARGV  1 maxlen of the events' stream   2 prefix of the keys of delayed messages   3 is any message waiting or under way? ('1')
local maxlen, delayed_prefix, is_busy = ARGV[1], ARGV[2], ARGV[3] == '1'
-- Answers how many messages came back, and the holds that began and ended (see holds.lua).

local BATCH = 500
-- Who was let out to probe, and did not (it was answered before, or its lost call was found), is followed by twice as many, up to so many;
-- but one of them probes, and claim parks the others anew.
local LET_OUT_MOST = 256
local account = { holds = holds, still = still, held_account = held_account, held_sms = held_sms, held_email = held_email,
  troubles = troubles, events = events, maxlen = maxlen, workers = workers, heartbeats = heartbeats }

local places = {}
for _, place in ipairs(redis.call('SMEMBERS', parked)) do
  local name, queue, call = string.match(place, '^(.*)|(.-)|(.-)$')
  -- What a stranger has put among them is none.
  if name then places[#places + 1] = { key = parked .. ':' .. place, place = place, name = name, queue = queue, call = call } end
end
-- Redis tells a set in no order.
table.sort(places, function(a, b) return a.place < b.place end)

-- Lets messages of a place, the first or those from `from` on, go back to their queue; they fell due when they were enqueued, so they come
-- in order and first. By a producer's clock that is ahead that was not yet, and nobody is to wait for it.
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

-- Whom to let out as the probe of this hold, of those parked by it. Whoever comes from a queue that no worker takes, or is held by an
-- operator, would not probe, and the others would wait until all of these are let out.
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

-- Do all that this hold has parked of the refused kind wait in queues that no worker takes?
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

-- Where in a place the next probe is looked for. Neighbours are often of one group, and what refuses one may refuse them all: each probe
-- of a refusal without a code is taken far from those before it (multiples of the golden ratio fill a range evenly).
local function probe_rank(place, hold)
  if not hold.bare then return 0 end
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
    -- Whoever is of the kind that was refused leaves the probe to others, or a flood of that kind would win each.
    local place = candidate(name, hold)
    local others = place and place.call ~= hold.call or hold.others and let_out + PAUSE.let_out_again > now or nil
    if others ~= hold.others then
      hold.others, hold.any = others, hold.any and not others or nil
      write_hold(account, name, hold)
    end
  end
  local is_due = hold.kind ~= 'paused' and (hold.retry_at <= now or hold.retry_at - now > (hold.length or PAUSE.probe_furthest))
  local secrets = hold.secret and secrets_of(holds, workers, heartbeats)
  if secrets and secrets[hold.secret] == nil then
    -- Nobody uses it any more.
    end_hold(account, name, hold)
  elseif hold.kind == 'asked' and is_due then
    end_hold(account, name, hold)
  elseif hold.kind == 'outage' and is_due and not is_busy and #places == 0 then
    -- Nobody is left to find out, and nobody waits for it.
    end_hold(account, name, hold)
  elseif is_due and not is_paused('account') and (let_out > now or let_out + PAUSE.let_out_again <= now) then
    local place = candidate(name, hold)
    if hold.kind == 'refused' and not hold.any then
      -- A refused call that is the only one left (all others were let out and are the same call), or a kind of call that nobody makes
      -- any more, or nobody can make: the workers of its queues are gone.
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

-- Whether deadlines stand still may have changed with the workers that live.
if #flat > 0 then keep_time(account) end

-- 2. What waits for a hold that is over ----------------------------------------------------------------------------------------------

local moved = 0
for _, place in ipairs(places) do
  local over = redis.call('HEXISTS', holds, place.name) == 0
  -- What was parked when every secret was refused comes back for workers that have another.
  local free = not over and string.match(place.name, '^account/refused/') and others_may_call(holds, workers, heartbeats)
  if moved < BATCH and (over or free) then moved = moved + let_go(place, BATCH - moved) end
end
return { moved, changes() }
