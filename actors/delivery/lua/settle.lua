-- include: clock.lua
-- include: account.lua
-- include: answered.lua
--
-- settle.lua: what came of a claim. Outcome, event, acknowledgement and the account's state in one step; safe to repeat.
--
-- KEYS  1 record   2 answered   3 acks   4 bodies   5 delayed          (see claim.lua)
--       6 dead     7 dead bodies   8 dead reasons                      zset id -> died at (ms), hash id -> message, hash id -> why
--       9 events                                                      stream
--       10 unknown   11 name   12 claimed                             (see claim.lua); set of group ids that are some job's answer
--       13 pace   14 hold:account   15 hold:channel   16 held:account   17 held:channel   18 outage      (see account.lua)
--       19 pages                                                      list of a remembered listing's pages
-- ARGV  1 JSON: op, id, token, owned (was the record claimed?), fingerprint, asked, effect, needle (as claim.lua has them), ttl, life, kept (ms), maxlen,
--               events [[type, json] ...], outcome, reason, claim (group id), pages [json ...],
--               delay (ms), due_by (ms), keep (the message stays outstanding), uncount (give the attempt back), read_back_after,
--               first (these pages are the first ones), batch (their number, for the op pages), cover (ms),
--               took (ms since the call began),
--               signal (well | fine | refused | outage | none; '' for no call; fine is well where a hold may end), scope (account | channel), code, text, threshold, pause (ms),
--               held_event [type, json], released_event [type, json]
--
-- op    done      carried out: keep the outcome, answer, acknowledge
--       failed    for good: answer, keep a dead letter, free the key
--       unknown   the deadline passed and nobody knows: answer, keep a dead letter and the key
--       replay    answer from the record of another message
--       wait      certainly not carried out: safe to call again
--       lost      may have happened: read back before any further call
--       pages     part of a long listing's answer; the lease goes on
--       signal    only what the call told about the account
--       later     the message alone waits; nothing is known of its record
--       rejected  its id was answered before, for another message: set it aside
--
-- Answers  ok | stale (the record is another's: nothing was written) | used (the id was answered before, for another message: nothing
--          was written), held ('1': a hold began), released (the scopes whose holds ended: 'account ', 'channel ' or both)

local record, answered, acks, bodies, delayed = KEYS[1], KEYS[2], KEYS[3], KEYS[4], KEYS[5]
local a = cjson.decode(ARGV[1])
local op = a.op

local function emit(pair)
  redis.call('XADD', KEYS[9], 'MAXLEN', '~', a.maxlen, '*', 'type', pair[1], 'event', pair[2])
end

local function acknowledge()
  -- A message that was taken over while its worker was frozen lies on its queue again: who finds it there finds it answered.
  if redis.call('SREM', acks, a.id) == 1 then redis.call('HDEL', bodies, a.id) end
end

local function bury()
  local body = a.reason and redis.call('HGET', bodies, a.id)
  if body then
    redis.call('ZADD', KEYS[6], whole(now), a.id)
    redis.call('HSET', KEYS[7], a.id, body)
    redis.call('HSET', KEYS[8], a.id, a.reason)
  end
end

local function free_name()
  if redis.call('GET', KEYS[11]) == record then redis.call('DEL', KEYS[11]) end
end

local function defer()
  if not a.keep and redis.call('SREM', acks, a.id) == 1 then
    redis.call('ZADD', delayed, whole(math.min(now + a.delay, math.max(a.due_by, now))), a.id)
  end
end

-- The account: holds, the breaker, the pause ----------------------------------------------------------------------------------
local began, ended = '0', ''

local function release(hold_key, held_key, only_kind, only_probe)
  local hold = redis.call('HMGET', hold_key, 'kind', 'since', 'probe')
  if not hold[1] then return end
  local mine = hold[3] == a.token
  if (only_kind and hold[1] == only_kind) or (only_probe and mine) then
    if hold[1] == 'refused' then
      redis.call('RPUSH', held_key, hold[2] .. ':' .. whole(now))
      redis.call('LTRIM', held_key, -HELD_KEPT, -1)
      redis.call('PEXPIRE', held_key, HELD_TTL_MS)
    end
    redis.call('DEL', hold_key)
    ended = ended .. (hold_key == KEYS[14] and 'account ' or 'channel ')
    return true
  end
end

local function hold(hold_key, kind)
  local present = redis.call('HMGET', hold_key, 'kind', 'interval', 'probe')
  if not present[1] then
    redis.call('HSET', hold_key, 'kind', kind, 'code', a.code or '', 'message', a.text or '', 'since', whole(now),
      'retry_at', whole(now + HOLD_FIRST_MS), 'interval', HOLD_FIRST_MS, 'probe', '')
    began = '1'
    emit(a.held_event)
  elseif present[3] == a.token then
    local interval = math.min(tonumber(present[2]) * 2, HOLD_CAP_MS[kind])
    redis.call('HSET', hold_key, 'kind', kind, 'code', a.code or '', 'message', a.text or '', 'interval', interval,
      'retry_at', whole(now + interval), 'probe', '')
  elseif present[1] == 'outage' and kind == 'refused' then
    redis.call('HSET', hold_key, 'kind', kind, 'code', a.code or '', 'message', a.text or '')
  end
end

-- A probe that told nothing gives its place back.
local function stand_down(hold_key)
  local present = redis.call('HMGET', hold_key, 'kind', 'interval', 'probe')
  if present[1] and present[3] == a.token then
    redis.call('HSET', hold_key, 'probe', '', 'retry_at', whole(now + tonumber(present[2])))
  end
end

local function take_signal()
  local channel_of_its_own = KEYS[15] ~= KEYS[14]
  if a.signal == 'well' or a.signal == 'fine' or a.signal == 'refused' then
    redis.call('HSET', KEYS[18], 'run', 0, 'well', whole(now))
    redis.call('PEXPIRE', KEYS[18], OUTAGE_TTL_MS)
  end
  if a.signal == 'fine' then
    if release(KEYS[14], KEYS[16], 'outage', true) then emit(a.released_event.account) end
    if channel_of_its_own and release(KEYS[15], KEYS[17], nil, true) then emit(a.released_event.channel) end
  elseif a.signal == 'refused' then
    if a.scope == 'channel' then
      if release(KEYS[14], KEYS[16], 'outage', true) then emit(a.released_event.account) end
      hold(KEYS[15], 'refused')
    else
      hold(KEYS[14], 'refused')
      if channel_of_its_own then stand_down(KEYS[15]) end
    end
  elseif a.signal == 'outage' then
    -- Time-outs come in bursts after the good answers to calls of the same moment: only a call that began since counts.
    local well = tonumber(redis.call('HGET', KEYS[18], 'well') or '0')
    local run = 0
    if now - a.took > well then run = redis.call('HINCRBY', KEYS[18], 'run', 1) end
    redis.call('PEXPIRE', KEYS[18], OUTAGE_TTL_MS)
    local present = redis.call('HMGET', KEYS[14], 'kind', 'probe')
    if present[1] and present[2] == a.token then
      hold(KEYS[14], present[1])
    elseif not present[1] and run >= a.threshold then
      hold(KEYS[14], 'outage')
    end
    if channel_of_its_own then stand_down(KEYS[15]) end
  elseif a.signal == 'none' then
    stand_down(KEYS[14])
    if channel_of_its_own then stand_down(KEYS[15]) end
  end
  if a.pause > 0 then
    local pause = tonumber(redis.call('HGET', KEYS[13], 'pause') or '0')
    if now + a.pause > pause then redis.call('HSET', KEYS[13], 'pause', whole(now + a.pause)) end
    redis.call('PEXPIRE', KEYS[13], 86400000)
  end
end

if op == 'signal' then
  take_signal()
  return { 'ok', began, ended }
end

if op == 'later' then
  -- Not by the deadline, which a hold may have extended.
  a.due_by = math.huge
  defer()
  return { 'ok', began, ended }
end

-- Is it still ours to settle? ---------------------------------------------------------------------------------------------------
if op == 'rejected' then
  if redis.call('SISMEMBER', acks, a.id) == 1 then
    for _, event in ipairs(a.events) do emit(event) end
    bury()
    acknowledge()
  end
  return { 'ok', began, ended }
end

local answer = answered_as(answered, a.asked, a.id, a.ttl)
if answer == 'quiet' then
  acknowledge()
  return { 'ok', began, ended }
end
if answer then return { answer, began, ended } end

local r = redis.call('HMGET', record, 's', 't', 'fp')
-- An answer in hand is worth more than a record that was lost (a failover to a replica that lagged behind), or than one that says
-- nobody knows while nobody is finding out.
local missing = a.owned and a.effect and not r[1] and (op == 'done' or op == 'lost')
local better = op == 'done' and r[1] == 'unknown' and not r[2] and r[3] == a.fingerprint
if a.owned and r[2] ~= a.token and not missing and not better then return { 'stale', began, ended } end

if a.signal ~= '' then take_signal() end

if op == 'pages' then
  -- A repeat of a batch that is written already only lengthens the lease: its pages must not stand there twice.
  local batch = a.token .. ':' .. a.batch
  redis.call('HSET', record, 'le', whole(now + a.cover))
  if redis.call('HGET', record, 'pb') == batch then return { 'ok', began, ended } end
  redis.call('HSET', record, 'pb', batch)
  for _, event in ipairs(a.events) do emit(event) end
  if a.first then redis.call('DEL', KEYS[19]) end
  if #a.pages > 0 then redis.call('RPUSH', KEYS[19], unpack(a.pages)) end
  redis.call('PEXPIRE', KEYS[19], whole(a.ttl + PAGES_OUTLIVE_MS))
  return { 'ok', began, ended }
end

if op == 'done' then
  for _, event in ipairs(a.events) do emit(event) end
  if a.outcome then
    redis.call('DEL', record)
    redis.call('HSET', record, 's', 'done', 'fp', a.fingerprint, 'o', a.outcome)
    redis.call('PEXPIRE', record, whole(a.ttl))
    if a.pages then
      if a.first then redis.call('DEL', KEYS[19]) end
      redis.call('RPUSH', KEYS[19], unpack(a.pages))
      redis.call('PEXPIRE', KEYS[19], whole(a.ttl + PAGES_OUTLIVE_MS))
    end
  else
    redis.call('DEL', record, KEYS[19])
  end
  mark_answered(answered, '+', a.asked, a.id, a.ttl)
  if a.claim then
    redis.call('SADD', KEYS[12], a.claim)
    redis.call('PEXPIRE', KEYS[12], whole(a.life))
  end
  redis.call('ZREM', KEYS[10], record)
  free_name()
  acknowledge()
elseif op == 'replay' then
  for _, event in ipairs(a.events) do emit(event) end
  mark_answered(answered, '+', a.asked, a.id, a.ttl)
  acknowledge()
elseif op == 'failed' or op == 'unknown' then
  for _, event in ipairs(a.events) do emit(event) end
  mark_answered(answered, '-', a.asked, a.id, a.ttl)
  if a.owned then
    if op == 'failed' then
      redis.call('DEL', record)
    else
      redis.call('HSET', record, 's', 'unknown')
      redis.call('HDEL', record, 't')
      redis.call('PEXPIRE', record, whole(a.kept))
    end
    redis.call('ZREM', KEYS[10], record)
    free_name()
  end
  bury()
  acknowledge()
elseif op == 'wait' then
  redis.call('HSET', record, 's', 'waiting')
  redis.call('HDEL', record, 't', 'bl')
  if a.uncount then redis.call('HINCRBY', record, 'n', -1) end
  redis.call('PEXPIRE', record, whole(a.life))
  free_name()
  defer()
elseif op == 'lost' then
  if missing then
    redis.call('HSET', record, 'fp', a.fingerprint, 'n', 1, 'nd', a.needle)
    -- Which groups had the name before is lost, too: any that has it may be an older one.
    if KEYS[11] ~= '' then redis.call('HSET', record, 'bl', '["*"]') end
  end
  redis.call('HSET', record, 's', 'unknown', 'en', whole(now), 'rb', whole(now + a.read_back_after))
  redis.call('HDEL', record, 't', 'v', 'ev')
  redis.call('ZADD', KEYS[10], whole(now), record)
  redis.call('PEXPIRE', record, whole(a.life))
  defer()
end
return { 'ok', began, ended }
