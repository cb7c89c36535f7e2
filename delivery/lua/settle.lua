-- include: clock.lua
-- include: proof.lua
-- include: pauses.lua
-- include: account.lua
-- include: holds.lua
-- include: signal.lua
-- include: record.lua
-- include: batch.lua
-- include: marks.lua
-- include: tell.lua
-- include: answered.lua
-- include: question.lua
--
-- settle.lua: what came of a claim. Outcome, event, acknowledgement and the account's state in one step; safe to repeat.
--
-- KEYS  in the order of the next line. dead, dead_bodies, dead_reasons: zset id -> died at (ms), hash id -> message, hash id -> why;
--       events: stream; claimed: set of group ids that are some job's answer; troubles as signal.lua has it; staged: list of a long
--       listing's events that are not on the stream yet, the type before each; all others as claim.lua.
local record, answered, marks, acks, bodies, delayed, dead, dead_bodies, dead_reasons, events, unknown, name, claimed, pages, holds, still,
  held_account, held_sms, held_email, troubles, alone, told, asking, workers, heartbeats, staged = unpack(KEYS)
-- ARGV  1 JSON: what every settlement has: op, owned (was the record claimed?), id, token, fingerprint, asked, mark, small (see
--       answered.lua), effect, named, question, needle, ttl, life, kept, cover, read_back_after, deadline (ms, the one in force), maxlen,
--       threshold, signal (see signal.lua; none for no call); and what its op has (settlement.py): events [[type, JSON] ...], outcome,
--       claim (a group id), reason, pages [JSON ...], batch (its number, from 0), staged (are all its events in `staged`?), told, lasts (see
--       question.lua), delay (ms), why, keep (the message stays outstanding), uncount (give the attempt back), another (did the answer say OK
--       about another contact or group?)
local job = cjson.decode(ARGV[1])
-- op    done      carried out: keep the outcome, if there is one to keep; answer, acknowledge
--       failed    for good: answer, free the key, keep a dead letter, if there is a reason
--       unknown   the job ends, and its call may have happened: answer, keep a dead letter and the key
--       replay    answer from the record of another message
--       wait      certainly not carried out: safe to call again
--       lost      may have happened: read back before any further call
--       pages     stage a part of a long listing's answer; the lease goes on
--       signal    only what the call showed about the account
--       later     the message alone waits; its record is not touched
--       rejected  the message's id was answered before, for another message: set it aside
-- Answers  ok | more (staged events are left: repeat the settlement) | stale (the record is another's: nothing was written) | used (the
--          message's id was answered before, for another message: only its record was written), and the holds that began and ended (see
--          holds.lua)

local op = job.op
-- Was the message's id answered before, for another message? Then the record still learns what came of the call, or its key and its
-- name would stay taken; but the message is left as it is, for the worker to set aside.
local used = false

local function acknowledge()
  if used then return end
  -- If the message was taken over while its worker was frozen, it is on its queue again: the worker that fetches it finds it answered.
  if redis.call('SREM', acks, job.id) == 1 then redis.call('HDEL', bodies, job.id) end
end

local LONGEST_LETTER = 320 * 1024
local function bury()
  local body = job.reason and not used and redis.call('HGET', bodies, job.id)
  if body then
    -- A message that is too long is kept without its content: shown, but not sent again.
    if #body > LONGEST_LETTER then body = '{"bytes":' .. #body .. '}' end
    redis.call('ZADD', dead, whole(now), job.id)
    redis.call('HSET', dead_bodies, job.id, body)
    redis.call('HSET', dead_reasons, job.id, job.reason)
  end
end

local function free_name()
  if redis.call('GET', name) == record then redis.call('DEL', name) end
end

-- Puts the message off, but not beyond `latest`.
local function defer(latest)
  if job.keep or used or redis.call('SISMEMBER', acks, job.id) == 0 then return end
  redis.call('ZADD', delayed, whole(math.min(now + job.delay, math.max(latest, now))), job.id)
  redis.call('SREM', acks, job.id)
end

-- Keeps the pages of a batch for a replay, once.
local function keep_pages(batch, kept, first)
  if batch ~= kept then
    write(record, { lease_end = now + job.cover })
    if first then redis.call('DEL', pages) end
    if #job.pages > 0 then redis.call('RPUSH', pages, unpack(job.pages)) end
    write(record, { kept = batch })
  end
  redis.call('PEXPIRE', pages, whole(job.ttl + PAGES_OUTLIVE_MS))
end

-- Bytes of events that are written in one step.
local WRITTEN_AT_ONCE = 1024 * 1024

-- Writes staged events, a limited number of bytes at a time. Answers whether none is left.
local function tell_staged()
  redis.call('LPOP', staged .. NOBODY)
  if job.reply and not try_push(job.reply) then job.reply = nil end
  local written = 0
  while written < WRITTEN_AT_ONCE do
    local event = redis.call('LRANGE', staged, 0, 1)
    if #event == 0 then return true end
    tell(events, job.maxlen, { event }, job.reply)
    redis.call('LPOP', staged)
    redis.call('LPOP', staged)
    written = written + #event[2]
  end
  return redis.call('EXISTS', staged) == 0
end

local function answer(word) return { used and word == 'ok' and 'used' or word, changes() } end

local function heed_signal()
  if not job.signal then return end
  local account = { holds = holds, still = still, held_account = held_account, held_sms = held_sms, held_email = held_email,
    troubles = troubles, events = events, maxlen = job.maxlen, workers = workers, heartbeats = heartbeats }
  take_signal(job.signal, job.token, account, alone, job.threshold)
end

-- Try what this script removes at its end; see proof.lua.
redis.call('SREM', acks, NOBODY)
redis.call('HDEL', bodies, NOBODY)
redis.call('ZREM', unknown, NOBODY)

-- 1. What touches no record ------------------------------------------------------------------------------------------------------

if op == 'signal' then
  heed_signal()
  return answer('ok')
elseif op == 'later' then
  -- Without regard to the deadline, which a hold may have extended.
  defer(math.huge)
  return answer('ok')
elseif op == 'rejected' then
  if redis.call('SISMEMBER', acks, job.id) == 1 then
    bury()
    write_events(events, job)
    acknowledge()
  end
  return answer('ok')
end

-- 2. Is it still ours to settle? -------------------------------------------------------------------------------------------------

local before, due = answered_as(answered, marks, job)
local ours_is_due = before == 'due' and due.token == job.token
if before == 'due' and not ours_is_due then
  -- Another answer was noted before and is due: that one stands, whatever this one says.
  give_answer(answered, marks, events, due)
  before = answered_as(answered, marks, job)
end
if before == 'quiet' then
  acknowledge()
  return answer('ok')
end
used = before == 'used'

local r = read(record, 'state', 'token', 'fingerprint', 'verdict', 'batch', 'kept', 'attempts', 'outcome', 'another', 'claimed_at')
-- An answer in hand is worth more than a record that was lost (a failover to a replica that lagged behind), or than an unknown record
-- that no claim is working on. A `found` verdict may be settled by any claim that got it: otherwise two claims that take turns would make
-- each other's settlement stale for ever.
local missing = job.owned and job.effect and not r.state and (op == 'done' or op == 'lost')
local better = op == 'done' and r.state == 'unknown' and (not r.token or r.verdict == 'found') and r.fingerprint == job.fingerprint
local owns = job.owned and (r.token == job.token or missing or better)
if job.owned and not owns and not ours_is_due then return answer('stale') end

if job.signal then job.signal.began = tonumber(r.claimed_at) end
heed_signal()
if job.question and op ~= 'pages' then tell_all(told, asking, job.token, job.told, job.lasts, delayed) end

if used and op == 'lost' then
  -- No message waits for the answer of this call any more, but the next job under its key must read back first.
  write(record, { lost_at = now, look_at = now + job.read_back_after })
  forget(record, 'verdict', 'evidence')
  op = 'unknown'
end

-- All pages of a long listing are staged: from now on, any worker that claims the message goes on writing them.
if op == 'done' and job.staged and owns and not used then
  write(record, { telling = job.id, outcome = job.outcome, lease_end = now + job.cover })
  job.outcome = job.outcome or r.outcome
  if not tell_staged() then return answer('more') end
end

-- 3. Settle it -------------------------------------------------------------------------------------------------------------------

-- The record keeps its token until all else is done, so that a repeat of a script that was cut off still owns it.

if op == 'pages' then
  -- If pages were written at once and this worker died, a reader would get its first pages and then those of the next worker's listing.
  -- A repeat of a batch that is staged already only renews the lease: its pages must not be staged twice.
  local batch, is_first = job.token .. ':' .. job.batch, job.batch == 0
  write(record, { lease_end = now + job.cover })
  keep_pages(batch, r.kept, is_first)
  if r.batch ~= batch then
    local ready = {}
    for _, event in ipairs(job.events) do
      ready[#ready + 1], ready[#ready + 2] = event[1], event[2]
    end
    if is_first then redis.call('DEL', staged) end
    redis.call('RPUSH', staged, unpack(ready))
    redis.call('PEXPIRE', staged, whole(job.life))
    write(record, { batch = batch })
  end
elseif op == 'done' or op == 'replay' or op == 'failed' or op == 'unknown' then
  bury()
  if not used then note_due(answered, ARGV[1], job.ttl) end
  if owns and op == 'done' and job.outcome then
    if job.pages then keep_pages(job.token .. ':last', r.kept, true) end
    local fingerprint = job.small and string.sub(job.fingerprint, 1, SHORT_FINGERPRINT) or job.fingerprint
    write(record, { state = 'done', fingerprint = fingerprint, outcome = job.outcome })
    redis.call('PEXPIRE', record, whole(job.ttl))
  elseif owns and op == 'unknown' then
    write(record, { state = 'unknown' })
    redis.call('PEXPIRE', record, whole(job.kept))
  end
  if owns and job.claim then
    redis.call('SADD', claimed, job.claim)
    redis.call('PEXPIRE', claimed, whole(job.life))
  end
  if owns then free_name() end
  -- Remove what an unfinished listing has staged.
  if owns and r.batch then redis.call('DEL', staged) end
  if not used then give_answer(answered, marks, events, job) end
  if owns then
    redis.call('ZREM', unknown, record)
    if op == 'unknown' then
      forget(record, 'token')
    elseif op == 'done' and job.outcome then
      forget_all_but(record, 'state', 'fingerprint', 'outcome')
    else
      forget_all_but(record)
    end
  end
  acknowledge()
elseif op == 'wait' then
  -- A repeat must not give a second attempt back.
  local attempts = job.uncount and r.state ~= 'waiting' and tonumber(r.attempts) - 1 or nil
  write(record, { state = 'waiting', attempts = attempts, why = job.why })
  redis.call('PEXPIRE', record, whole(job.life))
  free_name()
  defer(job.deadline)
  forget(record, 'token', 'baseline')
elseif op == 'lost' then
  if missing then
    write(record, { fingerprint = job.fingerprint, attempts = 1, needle = job.needle })
    -- The baseline is lost, too: any group of this name may be an older one.
    if job.named then write(record, { baseline = '["*"]' }) end
  end
  local look_at = look_time(now, math.max(job.delay, job.read_back_after), job.deadline)
  local attempts = job.uncount and r.state ~= 'unknown' and r.attempts and tonumber(r.attempts) - 1 or nil
  -- A repeat must not count the same answer twice.
  local another = job.another and r.state ~= 'unknown' and (tonumber(r.another) or 0) + 1 or nil
  write(record, { state = 'unknown', lost_at = now, look_at = look_at, why = job.why, attempts = attempts, another = another })
  redis.call('ZADD', unknown, whole(look_at), record)
  redis.call('PEXPIRE', record, whole(job.life))
  defer(look_at)
  forget(record, 'token', 'verdict', 'evidence')
else
  error('settle.lua knows no op ' .. op)
end
return answer('ok')
