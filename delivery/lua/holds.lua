-- holds.lua: a prelude of other scripts: begins and ends holds, writes their events, and adds up the time during which deadlines
-- stand still. Needs account.lua and proof.lua.
--
-- `account` is a table of keys and texts: holds, still, held_account, held_sms, held_email, events, maxlen, troubles, workers, heartbeats.

-- What this script began and ended, for the log.
local began, ended = {}, {}

local STILL_KEPT_MS, STILL_KEPT = 366 * 86400 * 1000, 10000
local VIEWS = { 'account', 'sms', 'email' }

-- Writes account.held or account.released.
local function tell(account, what, name, hold)
  local held = what == 'held'
  local type = 'coupontools.account.' .. what
  local event = {
    specversion = '1.0', id = 'account.' .. what .. '/' .. name .. '/' .. whole(now_us), source = '/coupontools-worker', type = type,
    time = rfc3339(now), datacontenttype = 'application/json', dataschema = 'urn:coupontools-worker:account.' .. what .. ':v1',
    data = {
      scope = hold.scope, kind = hold.kind, worker = hold.worker ~= '' and hold.worker or cjson.null,
      code = held and hold.code ~= '' and tonumber(hold.code) or cjson.null,
      message = held and hold.message or 'work goes on',
      retry_at = held and hold.kind ~= 'paused' and rfc3339(hold.retry_at) or cjson.null,
    },
  }
  redis.call('XADD', account.events, 'MAXLEN', '~', account.maxlen, '*', 'type', type, 'event', cjson.encode(event))
end

local function write_hold(account, name, hold) redis.call('HSET', account.holds, name, cjson.encode(hold)) end

local function is_told(hold) return hold.kind ~= 'asked' or hold.length > PAUSE.asked_short end

-- Do deadlines stand still for this hold?
local function stops_time(account, hold)
  -- While another secret is good, work goes on, and deadlines run.
  if hold.secret then return not others_may_call(account.holds, account.workers, account.heartbeats) end
  return hold.kind == 'refused' or hold.kind == 'paused'
end

-- The deadlines of a view stand still while it is refused or paused, once, however many holds there are; `ending` counts no more.
local function keep_time(account, ending)
  local standing, flat = {}, redis.call('HGETALL', account.holds)
  for i = 1, #flat, 2 do
    local hold = flat[i] ~= ending and cjson.decode(flat[i + 1])
    if hold and stops_time(account, hold) then standing[hold.scope] = true end
  end
  for _, view in ipairs(VIEWS) do
    local stands = standing.account or standing[view]
    local from = tonumber(redis.call('HGET', account.still, view))
    if stands and not from then
      redis.call('HSET', account.still, view, whole(now))
    elseif from and not stands then
      local past = account['held_' .. view]
      local sum = (tonumber(redis.call('HGET', account.still, view .. ':sum')) or 0) + math.max(0, now - from)
      redis.call('HDEL', account.still, NOBODY)
      redis.call('ZREMRANGEBYSCORE', past, '-inf', whole(now - STILL_KEPT_MS))
      redis.call('ZREMRANGEBYRANK', past, 0, -STILL_KEPT)
      redis.call('ZADD', past, whole(now), whole(math.min(from, now)) .. ':' .. whole(now) .. ':' .. whole(sum))
      redis.call('HSET', account.still, view .. ':sum', whole(sum))
      redis.call('HDEL', account.still, view)
    end
  end
end

local function tell_begun(account, name, hold)
  tell(account, 'held', name, hold)
  hold.untold = nil
  write_hold(account, name, hold)
  began[#began + 1] = hold
end

-- In an outage each kind of call has a hold of its own. Events name only the scope and the kind of a hold, so they tell of the first one
-- that begins and the last one that ends: else readers would take the channel for released while most of its calls are held.
local function has_sibling(account, name, hold)
  local flat = hold.kind == 'outage' and redis.call('HGETALL', account.holds) or {}
  for i = 1, #flat, 2 do
    local other = flat[i] ~= name and cjson.decode(flat[i + 1])
    if other and other.scope == hold.scope and other.kind == hold.kind then return true end
  end
  return false
end

local function begin_hold(account, name, hold)
  local told = is_told(hold) and not has_sibling(account, name, hold)
  -- If Redis refuses the event, unpark.lua finds the hold untold, and writes the event.
  hold.untold = told or nil
  write_hold(account, name, hold)
  keep_time(account)
  if told then
    tell_begun(account, name, hold)
  elseif is_told(hold) then
    began[#began + 1] = hold
  end
end

local function end_hold(account, name, hold)
  redis.call('HDEL', account.holds, NOBODY)
  -- A hold whose event Redis refused may end before unpark.lua writes it: readers must not be told of an end without a beginning.
  if hold.untold then tell_begun(account, name, hold) end
  if hold.interval then
    -- A refusal that returns at once goes on with this interval. Else one that concerns only some calls would flap.
    redis.call('HSET', account.troubles, 'was:' .. name, whole(now) .. ' ' .. whole(hold.interval))
  end
  keep_time(account, name)
  if is_told(hold) then
    ended[#ended + 1] = hold
    if not has_sibling(account, name, hold) then tell(account, 'released', name, hold) end
  end
  redis.call('HDEL', account.holds, name)
  -- Once a secret is good again, holds of other secrets do not stop deadlines any more.
  if hold.secret then keep_time(account) end
end

-- The holds that began and ended, as JSON; '' for none.
local function changes()
  if #began == 0 and #ended == 0 then return '' end
  -- cjson would write an empty table as an object.
  return cjson.encode({ began = #began > 0 and began or nil, ended = #ended > 0 and ended or nil })
end
