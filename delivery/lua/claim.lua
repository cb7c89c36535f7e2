-- include: clock.lua
-- include: account.lua
-- include: record.lua
-- include: answered.lua
--
-- claim.lua: may this message's job call the API now? One round trip, safe to repeat with the same token.
--
-- KEYS  in the order of the next line. answered: how this message was answered; acks: set of what this worker has outstanding;
--       bodies: hash id -> message; delayed: zset id -> due (ms); unknown: zset of the listing, record -> when its lost call ended (ms);
--       reader: taken while somebody reads this listing; name: lock, the record that may create a group of this name; pages: list of a
--       remembered listing's pages; pace, holds and helds as account.lua has them.
local record, answered, acks, bodies, delayed, pace, account_hold, channel_hold, account_held, channel_held, unknown, reader, name, pages =
  unpack(KEYS)
-- ARGV  1 JSON: id, token, fingerprint, derived (is the record's key a derived one?), asked (see answered.lua), effect (may a call
--       change anything?), named (is there a name lock?), since, deadline (ms), cover (ms a call may take), life (ms a record lives),
--       ttl (ms an outcome is remembered after it was last asked for), interval (µs between requests), horizon (ms a slot may lie
--       ahead), read_back_after (ms), needle
local job = cjson.decode(ARGV[1])
-- Answers
--   gone                                   the message is not this worker's (any more): do nothing
--   answered                               this message has its event: acknowledged here
--   used                                   its id was answered before, for another message
--   replay, outcome                        the key is carried out already
--   conflict                               the key belongs to another job
--   deferred, reason, ms                   moved to `delayed`
--   held, ms, account or channel           nothing was changed; ask again after ms
--   paced, ms                              the same
--   expired, attempts, reconciled, owned   the deadline passed and nothing was carried out; '0': the record is another job's
--   unknown, attempts, reconciled, owned   the deadline passed and nobody knows; the record is owned
--   found, attempts, evidence              the lost call did happen; the record is owned
--   read_back, attempts, probe, lost_at    read the listing; the reader key is owned
--   call, attempts, reconciled, slot ms, lease ms, baseline, probe

-- How soon, and how seldom at last, a job asks again whether the name or the contact that it wants is free.
local OTHER_FIRST_MS, OTHER_LAST_MS = 300, 30000

local function defer(due, reason)
  if redis.call('SREM', acks, job.id) == 1 then redis.call('ZADD', delayed, whole(due), job.id) end
  return { 'deferred', reason, whole(math.max(0, due - now)) }
end

-- Is this claim the one that a hold has let through?
local function probing()
  for _, hold in ipairs({ account_hold, channel_hold }) do
    if redis.call('HGET', hold, 'probe') == job.token then return '1' end
  end
  return '0'
end

-- 1. Is the message still here, and was it, or its job, answered before? ---------------------------------------------------------

if redis.call('SISMEMBER', acks, job.id) == 0 then return { 'gone' } end

local r = read(record, 'state', 'fingerprint', 'token', 'claimed_at', 'slot', 'lease_end', 'attempts', 'baseline', 'lost_at', 'look_at',
  'verdict', 'evidence', 'reconciled', 'bodies', 'id')
local attempts, reconciled = tonumber(r.attempts) or 0, r.reconciled or '0'

-- What is asked for does not run out: a file that is imported every night must not add anybody anew after a week.
if r.state == 'done' then
  redis.call('PEXPIRE', record, whole(job.ttl))
  redis.call('PEXPIRE', pages, whole(job.ttl + PAGES_OUTLIVE_MS))
elseif r.state then
  redis.call('PEXPIRE', record, whole(job.life))
end

local answer = answered_as(answered, job.asked, job.id, job.ttl)
if answer == 'quiet' then
  redis.call('SREM', acks, job.id)
  redis.call('HDEL', bodies, job.id)
  return { 'answered' }
end
if answer then return { answer } end

-- Does the record belong to a job that asks for something else under this key?
local others = r.fingerprint and r.fingerprint ~= job.fingerprint
if others and (r.state == 'done' or not job.derived) then return { 'conflict' } end
if r.state == 'done' then return { 'replay', redis.call('HGET', record, field('outcome')) } end

-- 2. Is a call under way? ----------------------------------------------------------------------------------------------------------

if r.state == 'running' and r.token == job.token then
  -- The reply to this very claim was lost.
  local slot, lease = math.max(0, tonumber(r.slot) - now), tonumber(r.lease_end) - now
  return { 'call', attempts, reconciled, whole(slot), whole(lease), r.baseline or '', probing() }
end
if r.state == 'running' then
  local lease_end = tonumber(r.lease_end)
  if now < lease_end then
    -- Wait about as long as the other has taken so far: a quick call is met quickly, a long one asked after seldom.
    return defer(math.min(lease_end, now + math.max(200, now - tonumber(r.claimed_at))) + 5, 'busy')
  end
  -- Its worker died. A group whose baseline was never noted was never asked for; a read changes nothing.
  if job.effect and (not job.named or r.baseline) then
    r.state, r.lost_at, r.look_at, r.verdict = 'unknown', lease_end, lease_end + job.read_back_after, nil
    write(record, { state = 'unknown', lost_at = r.lost_at, look_at = r.look_at })
    forget(record, 'token', 'verdict', 'evidence')
    redis.call('ZADD', unknown, whole(r.lost_at), record)
  else
    r.state, r.baseline = 'waiting', nil
    write(record, { state = 'waiting' })
    forget(record, 'token', 'baseline')
  end
end

local function own(state)
  write(record, { state = state, fingerprint = job.fingerprint, token = job.token })
  redis.call('PEXPIRE', record, whole(job.life))
end

if r.state == 'unknown' and r.verdict == 'found' then
  if others then return { 'conflict' } end
  own('unknown')
  return { 'found', attempts, r.evidence }
end

-- 3. Until when may it wait? -------------------------------------------------------------------------------------------------------

-- A refusal of the account takes nothing from a job's time. What is past its own deadline may still be within the extended one.
local deadline = job.deadline
if now >= deadline then
  deadline = deadline + held_between(job.since, account_held, account_hold)
  if channel_held ~= account_held then deadline = deadline + held_between(job.since, channel_held, channel_hold) end
end

-- 4. Must it wait for another job? -------------------------------------------------------------------------------------------------

-- Who waits for another job asks the more seldom the longer it has waited; hundreds would ask for nothing else.
local function wait_for_other()
  local pause = math.max(OTHER_FIRST_MS, math.min(OTHER_LAST_MS, (now - job.since) / 4))
  return defer(math.min(deadline, now + pause), 'busy')
end

-- The same contact with other data: whoever came first is carried out or fails first, as long as its message is there.
if others then
  if now >= deadline then
    if r.state == 'unknown' and r.id == job.id then
      -- What was looked up for this job says nothing to a retry of the first, which must look for itself.
      forget(record, 'verdict', 'evidence')
      redis.call('ZREM', unknown, record)
    end
    return { 'expired', 0, '0', '0' }
  end
  if r.id and r.id ~= job.id and redis.call('HEXISTS', r.bodies, r.id) == 1 then return wait_for_other() end
  attempts, reconciled = 0, '0'
end

if job.named then
  local holder = redis.call('GET', name)
  if holder ~= record then
    local held = holder and read(holder, 'state', 'lease_end', 'bodies', 'id') or {}
    -- A holder whose message is gone, with no call under way, will never free the name.
    local calling = held.state == 'running' and now < tonumber(held.lease_end)
    local waiting = (held.state == 'running' or held.state == 'unknown') and held.id and redis.call('HEXISTS', held.bodies, held.id) == 1
    if (calling or waiting) and now < deadline then return wait_for_other() end
    -- What was seen before others had the name is no baseline any more, unless this job's own call may have happened.
    if r.state ~= 'unknown' then
      forget(record, 'baseline')
      r.baseline = nil
    end
  end
end

-- 5. Is the account held, or the deadline over? A refusal takes nothing from a job's time, an outage does. --------------------------

local wait = held_for(account_hold, 'refused', job.token, job.cover)
if wait then return { 'held', whole(wait), 'account' } end
wait = held_for(channel_hold, 'refused', job.token, job.cover)
if wait then return { 'held', whole(wait), 'channel' } end

local must_read_back = r.state == 'unknown' and r.verdict ~= 'absent'
if now >= deadline then
  own(must_read_back and 'unknown' or 'waiting')
  return { must_read_back and 'unknown' or 'expired', attempts, reconciled, '1' }
end

wait = held_for(account_hold, 'outage', job.token, job.cover)
if wait then return { 'held', whole(wait), 'account' } end

-- 6. Read back, or call ------------------------------------------------------------------------------------------------------------

local function take_probes()
  take_probe(account_hold, job.token, job.cover)
  take_probe(channel_hold, job.token, job.cover)
end

local function read_back()
  redis.call('SET', reader, job.token, 'PX', whole(job.cover))
  take_probes()
  return { 'read_back', attempts, probing(), must_read_back and whole(tonumber(r.lost_at)) or '' }
end

if must_read_back then
  -- The message to wake when a verdict on this record is in.
  write(record, { waiting_in = delayed, bodies = bodies, id = job.id, deadline = deadline })
  -- A record that a worker's death or a dead letter's retry brought back may be missing here.
  redis.call('ZADD', unknown, r.lost_at, record)
  if job.named then redis.call('SET', name, record, 'PX', whole(job.life)) end
  local due = tonumber(r.look_at)
  if now < due then return defer(math.min(due, deadline), 'unknown') end
  local reading = redis.call('GET', reader)
  if reading and reading ~= job.token then
    return defer(math.min(deadline, now + math.max(50, redis.call('PTTL', reader)) + 5), 'unknown')
  end
  return read_back()
end

-- Whoever may probe an outage reads back first where others wait for it: asking what happened harms nobody, and it is their turn.
if job.effect and redis.call('HGET', account_hold, 'kind') == 'outage' and redis.call('EXISTS', reader) == 0
    and redis.call('ZCOUNT', unknown, '-inf', whole(now - job.read_back_after)) > 0 then
  return read_back()
end

local slot, again = reserve(pace, job.interval, job.horizon)
if not slot then return { 'paced', whole(again) } end

take_probes()
if job.named then redis.call('SET', name, record, 'PX', whole(job.life)) end
local lease = slot + job.cover
write(record, { state = 'running', fingerprint = job.fingerprint, token = job.token, claimed_at = now, slot = now + slot,
  lease_end = now + lease, attempts = attempts + 1, needle = job.needle, reconciled = reconciled, waiting_in = delayed,
  bodies = bodies, id = job.id, deadline = deadline })
forget(record, 'verdict', 'evidence', 'lost_at', 'look_at', 'looks')
redis.call('PEXPIRE', record, whole(job.life))
return { 'call', attempts + 1, reconciled, whole(slot), whole(lease), r.baseline or '', probing() }
