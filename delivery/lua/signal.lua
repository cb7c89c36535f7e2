-- signal.lua: a prelude of settle.lua: what a call showed about the account begins a hold, or ends one. Needs holds.lua and pauses.lua.
--
-- A signal is a table: word, call (the kind of call), about (which call it was), scope (account | sms | email: what a refusal concerns),
-- channel (the job's own scope), code, text, took (ms since the call began), pause (ms; none for 0), connect (did no connection stand?),
-- broken (if no answer could be read: the name by which this call counts once), bare (was it refused without a code of the vendor's?), lost
-- (may it have been carried out all the same?), worker, secret (the one that was used), by_secret (was that secret refused, and not the
-- account?). A call that went well, with no pause, has only word, call, about, channel, took and secret. The word:
--   well      the API works
--   refused   the account, or its channel, was refused
--   outage    the call failed as in an outage
--   found     a listing shows that a call was carried out whose answer was lost; `began` is when it began at the earliest (ms)
--   none      the call showed nothing
--
--   troubles  hash    run:<calls>: how many calls in a row failed as in an outage; well:<calls>: when one was answered last (ms), for
--                     each kind of call and for connections; broken:<calls>: calls whose answers could not be read, a line for each;
--                     found:<calls>: when such a call was last found to be carried out, while that ends a hold or keeps one from beginning;
--                     was:<hold>: "<when it ended> <its interval>" (ms); run:bare: how many calls in a row were refused
--                     without a code; passed: when such a refusal ended because another call passed (ms)

local TROUBLES_TTL_MS = 600000
-- Calls that are refused without a code, though others passed a moment ago, wait alone; at this many in a row, their channel is held.
local BARE_RUN = 100
local ALONE_TTL_MS = 86400000
-- How much is kept of the names of calls whose answers could not be read: some 150 calls.
local BROKEN_BYTES = 8192

local function take_signal(signal, token, account, alone, threshold)
  local troubles, word, pause = account.troubles, signal.word, signal.pause or 0
  local calls = signal.channel .. '/' .. signal.call

  -- A call that was refused while others pass waits alone, at growing intervals.
  local function refuse_alone(about, times)
    redis.call('HSET', alone, about, times .. ' ' .. whole(after_refused_alone(times)))
    redis.call('PEXPIRE', alone, ALONE_TTL_MS)
  end

  local function lengthen(name, hold, why)
    for field, value in pairs(why) do hold[field] = value end
    hold.tried = (hold.tried or 0) + 1
    -- A call that probed because there was no other met the same refusal: the next probe is left to another call again, if one has come.
    if hold.bare then hold.any = nil end
    hold.interval = probe_interval(hold.kind, hold.bare, hold.interval)
    hold.retry_at, hold.probe, hold.let_out, hold.letting = now + hold.interval, '', nil, nil
    write_hold(account, name, hold)
  end

  -- Begins a hold, or makes its interval longer when this call was its probe.
  local function hold_on(name, scope, kind, call_only)
    local why = { code = signal.code, message = signal.text, worker = signal.worker, call = calls }
    local text = redis.call('HGET', account.holds, name)
    if text then
      local hold = cjson.decode(text)
      if hold.probe == token then lengthen(name, hold, why) end
      return
    end
    local at, last = string.match(redis.call('HGET', troubles, 'was:' .. name) or '', '^(%d+) (%d+)$')
    -- A refusal that returns at once goes on with its interval.
    local returns = at and kind == 'refused' and math.abs(now - at) < PAUSE.returns_within
    local interval = probe_interval(kind, signal.bare, returns and tonumber(last))
    begin_hold(account, name, { scope = scope, kind = kind, code = why.code, message = why.message, worker = why.worker, call = why.call,
      since = now, retry_at = now + interval, interval = interval, probe = '', call_only = call_only or nil,
      broken = signal.broken and true or nil, bare = signal.bare or nil, lost = signal.lost or nil,
      about = signal.bare and signal.about or nil, secret = signal.by_secret and signal.secret or nil, any = signal.by_secret or nil })
  end

  -- Does the API carry out calls of this kind, though their answers cannot be read? Then they are no outage: each is read back.
  local function is_carried_out()
    local found = tonumber(redis.call('HGET', troubles, 'found:' .. calls) or '')
    return found and math.abs(now - found) < PAUSE.returns_within
  end

  -- If no answer to this very call can be read, others of its kind may be answered all the same: a listing may be too long for the API. So
  -- each call counts once, until it is answered. Answers whether this one has counted, and notes it.
  local function is_broken_again()
    local seen = redis.call('HGET', troubles, 'broken:' .. calls) or '\n'
    if string.find(seen, '\n' .. signal.broken .. '\n', 1, true) or is_carried_out() then return true end
    redis.call('HSET', troubles, 'broken:' .. calls, string.sub(seen .. signal.broken .. '\n', -BROKEN_BYTES))
    return false
  end

  -- A call that was answered counts again, if a later answer to it cannot be read.
  local function forget_broken()
    local seen = redis.call('HGET', troubles, 'broken:' .. calls)
    local from, to = string.find(seen or '', '\n' .. signal.about .. '\n', 1, true)
    if from then redis.call('HSET', troubles, 'broken:' .. calls, string.sub(seen, 1, from) .. string.sub(seen, to + 1)) end
  end

  if word == 'found' then
    local name = signal.channel .. '/outage/' .. signal.call
    local hold = cjson.decode(redis.call('HGET', account.holds, name) or '{}')
    -- The call must have begun under the hold, as its probe: what was carried out before shows nothing.
    local ends = hold.broken and (signal.began or 0) >= hold.since
    if ends or is_carried_out() then redis.call('HSET', troubles, 'found:' .. calls, whole(now), 'run:' .. calls, 0) end
    if ends then end_hold(account, name, hold) end
    return
  end

  -- 1. How many calls in a row have failed? ----------------------------------------------------------------------------------------

  if word == 'well' or word == 'refused' then
    local fields = { 'run:connect', 0, 'well:connect', whole(now), 'run:' .. calls, 0, 'well:' .. calls, whole(now) }
    if word == 'well' then fields[9], fields[10] = 'run:bare', 0 end
    redis.call('HSET', troubles, unpack(fields))
    forget_broken()
    redis.call('PEXPIRE', troubles, TROUBLES_TTL_MS)
  elseif word == 'outage' and not signal.connect then
    redis.call('HSET', troubles, 'run:connect', 0, 'well:connect', whole(now))
  end
  local run = 0
  local kind_of_run = signal.connect and 'connect' or calls
  if word == 'outage' then
    -- Time-outs of a burst come later than the good answers to calls of the same moment: a call counts only if it began after the last
    -- good answer.
    local well = tonumber(redis.call('HGET', troubles, 'well:' .. kind_of_run) or '0')
    if (well > now or now - signal.took > well) and not (signal.broken and is_broken_again()) then
      run = redis.call('HINCRBY', troubles, 'run:' .. kind_of_run, 1)
    end
    redis.call('PEXPIRE', troubles, TROUBLES_TTL_MS)
  end

  -- 2. Which holds does that end, and whose probe was it? --------------------------------------------------------------------------

  local function is_over(hold)
    if hold.kind == 'outage' then
      -- A call that got a connection, even one that timed out on it, shows that connections work.
      if not hold.call_only then return word ~= 'none' and not signal.connect end
      return word == 'well' and hold.call == calls
    end
    -- An answer that asks for a pause does not yet show whether the account is refused.
    if hold.kind ~= 'refused' or word ~= 'well' or pause > 0 then return false end
    -- Neither does the answer to a call that was under way when the account was refused: else the holds of a busy account would flap. If
    -- the hold seems to begin in the future, the clock was set back since, and nobody knows which came first.
    if not hold.bare and hold.since <= now and now - (signal.took or 0) < hold.since then return false end
    if hold.scope ~= 'account' and hold.scope ~= signal.channel then return false end
    if hold.secret then return hold.secret == signal.secret end
    -- A call that was redirected reads back before it probes: a listing that passes says nothing about calls that change something.
    if hold.lost and signal.call == 'read_back' then return false end
    return hold.any or hold.bare or hold.call == calls
  end

  -- A refusal without a code counts for whatever hold the call probed.
  local function is_refused_again(hold)
    return word == 'refused' and hold.kind == 'refused' and (hold.scope == signal.scope or (hold.bare and signal.bare))
  end

  local probed
  local flat = redis.call('HGETALL', account.holds)
  for i = 1, #flat, 2 do
    local name, hold = flat[i], cjson.decode(flat[i + 1])
    if is_over(hold) then
      end_hold(account, name, hold)
      if hold.bare and hold.about ~= signal.about then
        refuse_alone(hold.about, 1)
        redis.call('HSET', troubles, 'passed', whole(now))
      end
    elseif hold.probe == token then
      if word == 'outage' and hold.kind == 'outage' then
        lengthen(name, hold, { code = signal.code, message = signal.text, worker = signal.worker })
      elseif is_refused_again(hold) then
        if hold.bare and signal.bare then probed = { name = name, scope = hold.scope } end
      else
        -- The call showed nothing about this hold: another may probe. After a look-up, the call itself may follow at once.
        local pause = hold.lost and word == 'well' and 0 or hold.interval
        hold.probe, hold.retry_at, hold.let_out, hold.letting = '', now + pause, nil, nil
        write_hold(account, name, hold)
      end
    end
  end

  -- 3. Which holds does it begin? --------------------------------------------------------------------------------------------------

  if word == 'well' then
    redis.call('HDEL', alone, signal.about)
  elseif word == 'refused' then
    local scope, times, few = signal.scope, nil, false
    if signal.bare then
      times = tonumber(string.match(redis.call('HGET', alone, signal.about) or '', '^%d+'))
      local passed = tonumber(redis.call('HGET', troubles, 'passed') or '')
      if passed and math.abs(now - passed) < PAUSE.returns_within then
        -- Other calls passed a moment ago, so the account is not refused; but all calls of one kind may be.
        few = redis.call('HINCRBY', troubles, 'run:bare', 1) < BARE_RUN
        scope = signal.channel
      end
    end
    local name = scope .. '/refused' .. (signal.by_secret and '/' .. signal.secret or '')
    if probed then
      hold_on(probed.name, probed.scope, 'refused')
    elseif (times or few) and redis.call('HEXISTS', account.holds, name) == 0 then
      refuse_alone(signal.about, (times or 0) + 1)
    else
      hold_on(name, scope, 'refused')
    end
  elseif word == 'outage' and run >= threshold then
    local name = signal.connect and 'account/outage' or signal.channel .. '/outage/' .. signal.call
    if redis.call('HEXISTS', account.holds, name) == 0 then
      hold_on(name, signal.connect and 'account' or signal.channel, 'outage', not signal.connect)
    end
  end
  if pause > 0 then
    local text = redis.call('HGET', account.holds, 'account/asked')
    local present = text and cjson.decode(text)
    local is_later = not present or now + pause > present.retry_at or present.retry_at - now > present.length
    if is_later then
      local hold = { scope = 'account', kind = 'asked', code = signal.code, message = signal.text, worker = signal.worker, since = now,
        retry_at = now + pause, length = pause, probe = '' }
      if present and is_told(present) then
        -- Readers were told of this hold, or will be: a short pause must not make it one whose end is told to nobody.
        hold.since, hold.untold, hold.length = present.since, present.untold, math.max(pause, present.length)
        write_hold(account, 'account/asked', hold)
      else
        begin_hold(account, 'account/asked', hold)
      end
    end
  end
end
