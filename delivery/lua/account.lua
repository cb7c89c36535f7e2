-- account.lua: a prelude of other scripts: who may call, and when: the account's pace and its holds, shared by all workers.
-- Needs clock.lua and pauses.lua.
--
--   pace      hash    tat: when the next request may leave (µs); turn: the pass of the lane that was served last; p:<lane>: its pass;
--                     w:<lane>: until when it counts as waiting (ms)
--   holds     hash    name -> JSON, a field for each hold there is; the name is <scope>/paused, <scope>/refused, account/asked,
--                     account/outage, <scope>/outage/<kind of call>, or account/refused/<secret> (for workers that use
--                     this secret alone). Each has:
--                       scope (account | sms | email), kind (paused | refused | asked | outage), code ('' for none), message, worker,
--                       since, retry_at (ms), interval (ms until the next probe), length (ms that an asked one lasts), call (the kind of
--                       call that was refused, with its channel), probe (token of the one that may call, '' for none), let_out (ms; when
--                       parked messages were let out to probe), letting (how many at once), tried (how many probes failed), bare (refused
--                       without a code of the vendor's), about (which call that was), lost (may that call have been carried out?), others
--                       (of a bare one: has it parked jobs of other kinds?), call_only (does an outage concern that kind of call alone?),
--                       broken (did it begin with an answer that could not be read?),
--                       any (may any call probe?), secret (whose credentials were refused), untold (its event is still to be written)
--   still     hash    view -> since when its deadlines stand still (ms), while they do; view:sum -> how long they have in all (ms)
--   held      zset    for each view, past periods of standing still: "<from>:<to>:<sum, this one included>" by their end (ms)
--   parked    set     "<hold>|<queue>|<channel>/<kind of job>" of each parking place that is not empty; the place itself is a zset, its
--                     key ends in the same three: id -> when it was enqueued (ms)
--   alone     hash    a call that was refused while others passed -> "<how often> <until when it waits (ms)>"
--
-- A view is a scope as its jobs see it: what holds the account holds both channels, too.

local PACE_TTL_MS = 86400000

-- Holds ------------------------------------------------------------------------------------------------------------------------

-- May this job be the probe of a hold whose time has come? A refusal with a code concerns one kind of call. One without a code may
-- concern only the very call that met it, so another call must probe.
local function may_probe(hold, job)
  if hold.kind ~= 'refused' or hold.any then return true end
  local same_kind = hold.call == job.scope .. '/' .. job.call
  if hold.bare then return hold.about ~= job.about and not (hold.others and same_kind) end
  return same_kind
end

-- Milliseconds that this job (token, scope, call, about, cover) still has to wait for this hold; nil when it may go on.
local function waits_for(hold, job)
  if hold.kind == 'paused' then return PAUSE.refused_last end
  if hold.probe == job.token then return nil end
  local wait = hold.retry_at - now
  -- If that is longer than any hold waits, the clock was set back since.
  if wait > 0 and wait <= (hold.length or PAUSE.refused_last + job.cover) then return wait end
  if hold.kind == 'asked' or may_probe(hold, job) then return nil end
  return PAUSE.probe_soon
end

-- The holds that concern a job of this scope and kind of call: those during which its deadline stands still, and all others; each a
-- list of { name, hold }.
local function holds_of(holds, scope, call, secret)
  local standing, passing = {}, {}
  if redis.call('EXISTS', holds) == 0 then return standing, passing end
  local names = { 'account/paused', 'account/refused', scope .. '/paused', scope .. '/refused', 'account/asked', 'account/outage',
    scope .. '/outage/' .. call, 'account/refused/' .. secret }
  for i, text in ipairs(redis.call('HMGET', holds, unpack(names))) do
    if text and not (scope == 'account' and (i == 3 or i == 4)) then
      local into = (i <= 4 or i == 8) and standing or passing
      into[#into + 1] = { name = names[i], hold = cjson.decode(text) }
    end
  end
  return standing, passing
end

-- What living workers wrote about themselves.
local function living_of(workers, heartbeats)
  local living, told = {}, redis.call('HGETALL', workers)
  for i = 1, #told, 2 do
    local fine, about = pcall(cjson.decode, told[i + 1])
    local seen = tonumber(redis.call('ZSCORE', heartbeats, told[i]) or '')
    if fine and type(about) == 'table' and seen and seen > now - (tonumber(about.silence_ms) or 0) then living[#living + 1] = about end
  end
  return living
end

-- The secrets that living workers use, each true if it is refused; nil when no living worker names its secret.
local function secrets_of(holds, workers, heartbeats)
  local secrets, any = {}, false
  for _, about in ipairs(living_of(workers, heartbeats)) do
    if about.secret then
      secrets[about.secret] = redis.call('HEXISTS', holds, 'account/refused/' .. about.secret) == 1
      any = true
    end
  end
  return any and secrets or nil
end

-- The queues that living workers take; nil when one of them does not name its queues, or none lives.
local function queues_of(workers, heartbeats)
  local queues, any = {}, false
  for _, about in ipairs(living_of(workers, heartbeats)) do
    if type(about.queues) ~= 'table' then return nil end
    for _, queue in ipairs(about.queues) do queues[queue] = true end
    any = true
  end
  return any and queues or nil
end

-- Does a living worker use a secret that is not refused?
local function others_may_call(holds, workers, heartbeats)
  for _, refused in pairs(secrets_of(holds, workers, heartbeats) or {}) do
    if not refused then return true end
  end
  return false
end

-- Milliseconds since `since` during which the deadlines of this view stood still; no more work for a thousand holds than for one.
local function stood_still(since, still, held, view)
  local times = redis.call('HMGET', still, view, view .. ':sum')
  local sum = 0
  local first = redis.call('ZRANGEBYSCORE', held, '(' .. whole(since), '+inf', 'LIMIT', 0, 1)[1]
  if first then
    local from, to, by_then = string.match(first, '^(%d+):(%d+):(%d+)$')
    local before = by_then - (to - from)
    sum = math.max(0, (tonumber(times[2]) or 0) - before - math.max(0, since - from))
  end
  if times[1] then sum = sum + math.max(0, now - math.max(tonumber(times[1]), since)) end
  return sum
end

-- The pace ---------------------------------------------------------------------------------------------------------------------

-- Reserves the next free slot of the account's pace (GCRA with no burst: even spacing, nothing saved up while idle) for a lane.
-- `who` has lane, weight and waiting (the lanes of which the same process has more jobs).
-- Answers the milliseconds until the slot; or nil, the milliseconds after which to ask again, and the lane whose turn it is, if it is
-- another's: of all lanes that wait, the one that had the least for its weight goes first (stride scheduling).
local function reserve(pace_key, who, interval_us, horizon_ms)
  if interval_us <= 0 then return 0 end
  local pace, flat = {}, redis.call('HGETALL', pace_key)
  for i = 1, #flat, 2 do pace[flat[i]] = tonumber(flat[i + 1]) end
  local start, next_free = now_us, pace.tat or 0
  -- A slot further ahead than anybody may reserve does not count: the clock was set back since, or the limit raised.
  if next_free > start and next_free - start <= PAUSE.slot_furthest * 1000 + 2 * interval_us then start = next_free end
  local wait_ms = math.ceil((start - now_us) / 1000)
  local intervals = math.ceil(2 * interval_us / 1000)
  -- A lane counts as waiting until it can have asked again. That may be late: a worker with a lower limit may have put the next slot
  -- further ahead than two intervals of this worker. A mark beyond that was set before the clock was set back.
  local wanted = whole(now + math.max(intervals, wait_ms - horizon_ms) + PAUSE.lane_wanted)
  local furthest = now + math.max(intervals, PAUSE.slot_furthest) + PAUSE.lane_wanted
  local set, again = {}, false
  local function note(name, value) set[#set + 1], set[#set + 2] = name, value end
  for _, lane in ipairs(who.waiting) do
    if lane == who.lane then again = true else note('w:' .. lane, wanted) end
  end
  local function later(wait_ms, turn)
    note('w:' .. who.lane, wanted)
    redis.call('HSET', pace_key, unpack(set))
    redis.call('PEXPIRE', pace_key, PACE_TTL_MS)
    return nil, wait_ms, turn
  end

  if wait_ms > horizon_ms then return later(wait_ms - horizon_ms) end

  local turn = pace.turn or 0
  local function pass_of(lane) return math.max(pace['p:' .. lane] or 0, turn) end
  local least, first = pass_of(who.lane), nil
  for name, until_ms in pairs(pace) do
    local lane = string.match(name, '^w:(.+)$')
    if lane and lane ~= who.lane and until_ms > now and until_ms <= furthest and pass_of(lane) < least then
      least, first = pass_of(lane), lane
    end
  end
  if first then return later(after_turn(interval_us), first) end

  note('tat', whole(start + interval_us))
  note('turn', string.format('%.6f', least))
  note('p:' .. who.lane, string.format('%.6f', least + 1 / who.weight))
  note('w:' .. who.lane, again and wanted or '0')
  redis.call('HSET', pace_key, unpack(set))
  redis.call('PEXPIRE', pace_key, PACE_TTL_MS)
  return wait_ms
end
