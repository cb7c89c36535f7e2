-- signal.lua: a prelude of settle.lua: what a call has told about the account begins a hold, or ends one. Needs account.lua.
--
-- A signal is a table: word, scope (account | channel), code, text, took (ms since the call began), pause (ms), held_event and
-- released_event ([type, JSON]; of the latter one for account and one for channel). Its word:
--   well      the API works
--   fine      the same, and a hold is known that this may end
--   refused   the account, or its channel, was refused
--   outage    the call failed as in an outage
--   none      it told nothing

-- What changed: did a hold begin, and which scopes' holds ended.
local began, ended = '0', ''

-- `holds`: account and channel, each { hold = key, held = key }; `emit` writes an event.
local function take_signal(signal, token, holds, pace_key, outage_key, threshold, emit)
  local account, channel = holds.account, holds.channel
  if channel.hold == account.hold then channel = nil end

  -- Ends a hold of this kind, or one whose probe this call was.
  local function release(scope, kind)
    if not holds[scope] or (scope == 'channel' and not channel) then return end
    local keys = holds[scope]
    local hold = redis.call('HMGET', keys.hold, 'kind', 'since', 'probe')
    if not hold[1] or not (hold[1] == kind or hold[3] == token) then return end
    if hold[1] == 'refused' then
      redis.call('RPUSH', keys.held, hold[2] .. ':' .. whole(now))
      redis.call('LTRIM', keys.held, -HELD_KEPT, -1)
      redis.call('PEXPIRE', keys.held, HELD_TTL_MS)
    end
    redis.call('DEL', keys.hold)
    ended = ended .. scope .. ' '
    emit(signal.released_event[scope])
  end

  -- Begins a hold, or makes its interval longer when this call was its probe. A refusal takes an outage's place.
  local function hold(keys, kind)
    local why = { 'kind', kind, 'code', signal.code, 'message', signal.text }
    local present = redis.call('HMGET', keys.hold, 'kind', 'interval', 'probe')
    if not present[1] then
      redis.call('HSET', keys.hold, 'since', whole(now), 'retry_at', whole(now + HOLD_FIRST_MS), 'interval', HOLD_FIRST_MS,
        'probe', '', unpack(why))
      began = '1'
      emit(signal.held_event)
    elseif present[3] == token then
      local interval = math.min(tonumber(present[2]) * 2, HOLD_CAP_MS[kind])
      redis.call('HSET', keys.hold, 'interval', interval, 'retry_at', whole(now + interval), 'probe', '', unpack(why))
    elseif present[1] == 'outage' and kind == 'refused' then
      redis.call('HSET', keys.hold, unpack(why))
    end
  end

  -- A probe that told nothing of this hold gives its place back.
  local function stand_down(keys)
    if not keys then return end
    local present = redis.call('HMGET', keys.hold, 'kind', 'interval', 'probe')
    if present[1] and present[3] == token then
      redis.call('HSET', keys.hold, 'probe', '', 'retry_at', whole(now + tonumber(present[2])))
    end
  end

  local word = signal.word
  if word == 'well' or word == 'fine' or word == 'refused' then
    redis.call('HSET', outage_key, 'run', 0, 'well', whole(now))
    redis.call('PEXPIRE', outage_key, OUTAGE_TTL_MS)
  end
  if word == 'fine' then
    release('account', 'outage')
    release('channel', nil)
  elseif word == 'refused' and signal.scope == 'channel' then
    release('account', 'outage')
    hold(holds.channel, 'refused')
  elseif word == 'refused' then
    hold(account, 'refused')
    stand_down(channel)
  elseif word == 'outage' then
    -- Time-outs come in bursts after the good answers to calls of the same moment: only a call that began since counts.
    local run = 0
    if now - signal.took > tonumber(redis.call('HGET', outage_key, 'well') or '0') then
      run = redis.call('HINCRBY', outage_key, 'run', 1)
    end
    redis.call('PEXPIRE', outage_key, OUTAGE_TTL_MS)
    local present = redis.call('HMGET', account.hold, 'kind', 'probe')
    if present[1] and present[2] == token then
      hold(account, present[1])
    elseif not present[1] and run >= threshold then
      hold(account, 'outage')
    end
    stand_down(channel)
  elseif word == 'none' then
    stand_down(account)
    stand_down(channel)
  end
  if signal.pause > 0 then
    local pause = tonumber(redis.call('HGET', pace_key, 'pause') or '0')
    if now + signal.pause > pause then redis.call('HSET', pace_key, 'pause', whole(now + signal.pause)) end
    redis.call('PEXPIRE', pace_key, PACE_TTL_MS)
  end
end
