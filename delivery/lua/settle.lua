-- include: clock.lua
-- include: account.lua
-- include: holds.lua
-- include: signal.lua
-- include: record.lua
-- include: answered.lua
-- include: question.lua
--
-- settle.lua: what came of a claim. Outcome, event, acknowledgement and the account's state in one step; safe to repeat.
--
-- KEYS  in the order of the next line. dead, dead_bodies, dead_reasons: zset id -> died at (ms), hash id -> message, hash id -> why;
--       events: stream; claimed: set of group ids that are some job's answer; troubles as signal.lua has it; all others as claim.lua.
local record, answered, acks, bodies, delayed, dead, dead_bodies, dead_reasons, events, unknown, name, claimed, pages, holds, still,
  held_account, held_sms, held_email, troubles, alone, told, asking, workers, heartbeats = unpack(KEYS)
-- ARGV  1 JSON: what every settlement has: op, owned (was the record claimed?), id, token, fingerprint, asked (see answered.lua), effect,
--       named, question, needle, ttl, life, kept, cover, read_back_after, deadline (ms, the one in force), maxlen, threshold, signal (see
--       signal.lua; none for no call); and what its op has (settlement.py): events [[type, JSON] ...], outcome, claim (a group id),
--       reason, pages [JSON ...], first, batch, told, lasts (see question.lua), delay (ms), why, keep (the message stays outstanding),
--       uncount (give the attempt back)
local job = cjson.decode(ARGV[1])
-- op    done      carried out: keep the outcome, if there is one to keep; answer, acknowledge
--       failed    for good: answer, free the key, keep a dead letter, if there is a reason
--       unknown   the deadline passed and nobody knows: answer, keep a dead letter and the key
--       replay    answer from the record of another message
--       wait      certainly not carried out: safe to call again
--       lost      may have happened: read back before any further call
--       pages     part of a long listing's answer; the lease goes on
--       signal    only what the call told about the account
--       later     the message alone waits; nothing is known of its record
--       rejected  its id was answered before, for another message: set it aside
-- Answers  ok | stale (the record is another's: nothing was written) | used (the message's id was answered before, for another message:
--          only its record was written), and the holds that began and ended (see holds.lua)

local op = job.op
-- The message's id was answered before, for another message: the record still learns what came of its call, or its key and its name
-- would stay taken; but the message is left as it is, for the worker to set aside.
local used = false

local function emit(event)
  redis.call('XADD', events, 'MAXLEN', '~', job.maxlen, '*', 'type', event[1], 'event', event[2])
end

local function emit_all()
  if used then return end
  for _, event in ipairs(job.events) do emit(event) end
end

local function acknowledge()
  if used then return end
  -- A message that was taken over while its worker was frozen lies on its queue again: who finds it there finds it answered.
  if redis.call('SREM', acks, job.id) == 1 then redis.call('HDEL', bodies, job.id) end
end

local function bury()
  local body = job.reason and not used and redis.call('HGET', bodies, job.id)
  if body then
    redis.call('ZADD', dead, whole(now), job.id)
    redis.call('HSET', dead_bodies, job.id, body)
    redis.call('HSET', dead_reasons, job.id, job.reason)
  end
end

local function free_name()
  if redis.call('GET', name) == record then redis.call('DEL', name) end
end

-- A call whose deadline comes before it may be read back is looked up once, so long before the deadline; only what is found counts.
local LAST_LOOK_MS = 5000

-- Puts the message off, but not beyond `latest`.
local function defer(latest)
  if job.keep or used or redis.call('SISMEMBER', acks, job.id) == 0 then return end
  redis.call('ZADD', delayed, whole(math.min(now + job.delay, math.max(latest, now))), job.id)
  redis.call('SREM', acks, job.id)
end

local function keep_pages()
  if job.first then redis.call('DEL', pages) end
  if #job.pages > 0 then redis.call('RPUSH', pages, unpack(job.pages)) end
  redis.call('PEXPIRE', pages, whole(job.ttl + PAGES_OUTLIVE_MS))
end

local function mark(sign)
  if not used then mark_answered(answered, sign, job.asked, job.id, job.ttl) end
end

local function answer(word) return { used and word == 'ok' and 'used' or word, changes() } end

local function heed_signal()
  if not job.signal then return end
  local account = { holds = holds, still = still, held_account = held_account, held_sms = held_sms, held_email = held_email,
    troubles = troubles, events = events, maxlen = job.maxlen, workers = workers, heartbeats = heartbeats }
  take_signal(job.signal, job.token, account, alone, job.threshold)
end

-- 1. What touches no record ------------------------------------------------------------------------------------------------------

if op == 'signal' then
  heed_signal()
  return answer('ok')
elseif op == 'later' then
  -- Not by the deadline, which a hold may have extended.
  defer(math.huge)
  return answer('ok')
elseif op == 'rejected' then
  if redis.call('SISMEMBER', acks, job.id) == 1 then
    emit_all()
    bury()
    acknowledge()
  end
  return answer('ok')
end

-- 2. Is it still ours to settle? -------------------------------------------------------------------------------------------------

local before = answered_as(answered, job.asked, job.id, job.ttl)
if before == 'quiet' then
  acknowledge()
  return answer('ok')
end
used = before == 'used'

local r = read(record, 'state', 'token', 'fingerprint', 'batch')
-- An answer in hand is worth more than a record that was lost (a failover to a replica that lagged behind), or than one that says
-- nobody knows while nobody is finding out.
local missing = job.owned and job.effect and not r.state and (op == 'done' or op == 'lost')
local better = op == 'done' and r.state == 'unknown' and not r.token and r.fingerprint == job.fingerprint
if job.owned and r.token ~= job.token and not missing and not better then return answer('stale') end

heed_signal()
if job.question and op ~= 'pages' then tell_all(told, asking, job.token, job.told, job.lasts, delayed) end

if used and op == 'lost' then
  -- Nobody waits for the answer of such a call any more, but whoever asks for the same must read back first.
  write(record, { lost_at = now, look_at = now + job.read_back_after })
  forget(record, 'verdict', 'evidence')
  op = 'unknown'
end

-- 3. Settle it -------------------------------------------------------------------------------------------------------------------

if op == 'pages' then
  -- A repeat of a batch that is written already only lengthens the lease: its pages must not stand there twice.
  local batch = job.token .. ':' .. job.batch
  write(record, { lease_end = now + job.cover })
  if r.batch == batch then return answer('ok') end
  write(record, { batch = batch })
  emit_all()
  keep_pages()
elseif op == 'done' then
  emit_all()
  redis.call('DEL', record)
  if job.outcome then
    write(record, { state = 'done', fingerprint = job.fingerprint, outcome = job.outcome })
    redis.call('PEXPIRE', record, whole(job.ttl))
    if job.pages then keep_pages() end
  else
    redis.call('DEL', pages)
  end
  mark('+')
  if job.claim then
    redis.call('SADD', claimed, job.claim)
    redis.call('PEXPIRE', claimed, whole(job.life))
  end
  redis.call('ZREM', unknown, record)
  free_name()
  acknowledge()
elseif op == 'replay' then
  emit_all()
  mark('+')
  acknowledge()
elseif op == 'failed' or op == 'unknown' then
  emit_all()
  mark('-')
  if job.owned then
    if op == 'failed' then
      redis.call('DEL', record)
    else
      write(record, { state = 'unknown' })
      forget(record, 'token')
      redis.call('PEXPIRE', record, whole(job.kept))
    end
    redis.call('ZREM', unknown, record)
    free_name()
  end
  bury()
  acknowledge()
elseif op == 'wait' then
  write(record, { state = 'waiting', why = job.why })
  forget(record, 'token', 'baseline')
  if job.uncount then redis.call('HINCRBY', record, field('attempts'), -1) end
  redis.call('PEXPIRE', record, whole(job.life))
  free_name()
  defer(job.deadline)
elseif op == 'lost' then
  if missing then
    write(record, { fingerprint = job.fingerprint, attempts = 1, needle = job.needle })
    -- Which groups had the name before is lost, too: any that has it may be an older one.
    if job.named then write(record, { baseline = '["*"]' }) end
  end
  local look_at = now + math.max(job.delay, job.read_back_after)
  if look_at >= job.deadline and job.deadline > now then
    look_at = math.max(now, job.deadline - math.min(LAST_LOOK_MS, (job.deadline - now) / 2))
  end
  write(record, { state = 'unknown', lost_at = now, look_at = look_at, why = job.why })
  forget(record, 'token', 'verdict', 'evidence')
  redis.call('ZADD', unknown, whole(look_at), record)
  redis.call('PEXPIRE', record, whole(job.life))
  defer(look_at)
else
  error('settle.lua knows no op ' .. op)
end
return answer('ok')
