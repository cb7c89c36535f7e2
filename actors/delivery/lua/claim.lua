-- include: clock.lua
-- include: account.lua
-- include: answered.lua
--
-- claim.lua: may this message's job call the API now? One round trip, safe to repeat with the same token.
--
-- KEYS  1 record          hash of the ledger: s state (running | waiting | unknown | done), fp fingerprint, t owner's token,
--                         le lease end (ms), cl claimed at (ms), sl reserved slot (ms), n attempts,
--                         o outcome JSON, en when the lost call ended (ms), rb not read back before (ms), v verdict (found |
--                         absent), ev evidence JSON, rc 1 once read back, nd needle, bl baseline, q, b and id: the message that waits (its delayed set, its bodies),
--                         un how often a listing could not tell
--       2 answered        how this message was answered (see answered.lua)
--       3 acks            set of what this worker has outstanding
--       4 bodies          hash id -> message
--       5 delayed         zset id -> due (ms)
--       6 pace            7 hold:account   8 hold:channel   9 held:account   10 held:channel      (see account.lua)
--       11 unknown        zset of the listing's scope: record -> when its lost call ended (ms)
--       12 reader         taken while somebody lists this scope
--       13 name           lock: the record that may create a group of this name
--       14 pages          list of a remembered listing's pages
-- ARGV  1 JSON: id, token, fingerprint, derived (has the record's key been derived?), asked (see answered.lua), effect (may a call change anything?), named (is there a name lock?),
--               since, deadline (ms), cover (ms a call may take), life (ms a record lives), ttl (ms an outcome is
--               remembered after it was last asked for), interval (µs between requests),
--               horizon (ms a slot may lie ahead), read_back_after (ms), needle
--
-- Answers
--   gone                             the message is not this worker's (any more): hands off
--   answered                         this message has its event: acknowledged here
--   used                             its id was answered before, for another message
--   replay, outcome                  the key is carried out already
--   conflict                         the key belongs to another job
--   deferred, reason, ms             moved to `delayed`
--   held, ms, account or channel     nothing was changed; ask again after ms
--   paced, ms                        the same
--   expired, attempts, reconciled, owned   the deadline passed and nothing was carried out; '0': the record is another job's
--   unknown, attempts, reconciled, owned   the deadline passed and nobody knows; the record is owned
--   found, attempts, evidence        the lost call did happen; the record is owned
--   read_back, attempts, probe       list the scope; the reader key is owned
--   call, attempts, reconciled, slot ms, lease ms, baseline, probe

-- How soon, and how seldom at last, a job asks again whether the name or the contact that it wants is free.
local OTHER_FIRST_MS, OTHER_LAST_MS = 300, 30000

local record, acks, bodies, delayed = KEYS[1], KEYS[3], KEYS[4], KEYS[5]
local a = cjson.decode(ARGV[1])

local function defer(due, reason)
  if redis.call('SREM', acks, a.id) == 1 then
    redis.call('ZADD', delayed, whole(due), a.id)
  end
  return { 'deferred', reason, whole(math.max(0, due - now)) }
end

if redis.call('SISMEMBER', acks, a.id) == 0 then return { 'gone' } end

local r = redis.call('HMGET', record, 's', 'fp', 't', 'le', 'cl', 'sl', 'n', 'id', 'en', 'rb', 'v', 'ev', 'rc', 'bl', 'b')
local state, fp, owner, lease_end, claimed_at = r[1], r[2], r[3], tonumber(r[4]), tonumber(r[5])
local attempts, reconciled = tonumber(r[7]) or 0, r[13] or '0'

-- What is asked for does not run out: a file that is imported every night must not add anybody anew after a week.
if state == 'done' then
  redis.call('PEXPIRE', record, whole(a.ttl))
  redis.call('PEXPIRE', KEYS[14], whole(a.ttl + PAGES_OUTLIVE_MS))
elseif state then
  redis.call('PEXPIRE', record, whole(a.life))
end

local answer = answered_as(KEYS[2], a.asked, a.id, a.ttl)
if answer == 'quiet' then
  redis.call('SREM', acks, a.id)
  redis.call('HDEL', bodies, a.id)
  return { 'answered' }
end
if answer then return { answer } end

-- Does the record belong to a job that asks for something else under this key?
local others = fp and fp ~= a.fingerprint
if others and (state == 'done' or not a.derived) then return { 'conflict' } end
if state == 'done' then return { 'replay', redis.call('HGET', record, 'o') } end

-- Is this claim the one that a hold has let through?
local function probing()
  local probes = redis.call('HGET', KEYS[7], 'probe') == a.token or redis.call('HGET', KEYS[8], 'probe') == a.token
  return probes and '1' or '0'
end

if state == 'running' then
  if owner == a.token then
    local slot = tonumber(r[6])
    return { 'call', attempts, reconciled, whole(math.max(0, slot - now)), whole(lease_end - now), r[14] or '', probing() }
  end
  if now < lease_end then
    -- Wait about as long as the other has taken so far: a quick call is met quickly, a long one asked after seldom.
    return defer(math.min(lease_end, now + math.max(200, now - claimed_at)) + 5, 'busy')
  end
  -- Its worker died. A group whose baseline was never noted was never asked for; a read changes nothing.
  if a.effect and (not a.named or r[14]) then
    state = 'unknown'
    redis.call('HSET', record, 's', state, 'en', whole(lease_end), 'rb', whole(lease_end + a.read_back_after))
    redis.call('HDEL', record, 't', 'v', 'ev')
    redis.call('ZADD', KEYS[11], whole(lease_end), record)
    r[9], r[10], r[11], r[12], r[3] = lease_end, lease_end + a.read_back_after, nil, nil, nil
  else
    state = 'waiting'
    redis.call('HSET', record, 's', state)
    redis.call('HDEL', record, 't', 'bl')
    r[14] = nil
  end
end

local function own(state_now)
  redis.call('HSET', record, 's', state_now, 'fp', a.fingerprint, 't', a.token)
  redis.call('PEXPIRE', record, whole(a.life))
end

if state == 'unknown' and r[11] == 'found' then
  if others then return { 'conflict' } end
  own('unknown')
  return { 'found', attempts, r[12] }
end

-- A refusal of the account takes nothing from a job's time. What is past its own deadline may still be within the extended one.
local deadline = a.deadline
if now >= deadline then
  deadline = deadline + held_between(a.since, KEYS[9], KEYS[7])
  if KEYS[10] ~= KEYS[9] then deadline = deadline + held_between(a.since, KEYS[10], KEYS[8]) end
end

-- Who waits for another job asks the more seldom the longer it has waited; hundreds would ask for nothing else.
local function wait_for_other()
  local pause = math.max(OTHER_FIRST_MS, math.min(OTHER_LAST_MS, (now - a.since) / 4))
  return defer(math.min(deadline, now + pause), 'busy')
end

-- The same contact with other data: whoever came first is carried out or fails first, as long as its message is there.
if others then
  if now >= deadline then return { 'expired', 0, '0', '0' } end
  if r[8] and r[8] ~= a.id and redis.call('HEXISTS', r[15], r[8]) == 1 then return wait_for_other() end
  attempts, reconciled = 0, '0'
end

if a.named then
  local holder = redis.call('GET', KEYS[13])
  if holder and holder ~= record then
    local other = redis.call('HGET', holder, 's')
    if other == 'running' or other == 'unknown' then
      if now < deadline then return wait_for_other() end
    else
      holder = nil
    end
  end
  if holder ~= record then
    -- What was seen before others had the name is no baseline any more, unless this job's own call may have happened.
    if state ~= 'unknown' then redis.call('HDEL', record, 'bl'); r[14] = nil end
  end
end

local refused = held_for(KEYS[7], 'refused', a.token, a.cover, false)
if refused then return { 'held', whole(refused), 'account' } end
refused = held_for(KEYS[8], 'refused', a.token, a.cover, false)
if refused then return { 'held', whole(refused), 'channel' } end

if now >= deadline then
  if state == 'unknown' and r[11] ~= 'absent' then
    own('unknown')
    return { 'unknown', attempts, reconciled, '1' }
  end
  own('waiting')
  return { 'expired', attempts, reconciled, '1' }
end

local out = held_for(KEYS[7], 'outage', a.token, a.cover, false)
if out then return { 'held', whole(out), 'account' } end

-- The message to wake when a verdict on this record is in.
redis.call('HSET', record, 'q', delayed, 'b', bodies, 'id', a.id, 'dl', whole(deadline))

if state == 'unknown' and r[11] ~= 'absent' then
  -- A record that a worker's death or a dead letter's retry brought back may be missing here.
  redis.call('ZADD', KEYS[11], r[9], record)
  if a.named then redis.call('SET', KEYS[13], record, 'PX', whole(a.life)) end
  local due = tonumber(r[10])
  if now < due then return defer(math.min(due, deadline), 'unknown') end
  local reader = redis.call('GET', KEYS[12])
  if reader and reader ~= a.token then
    return defer(math.min(deadline, now + math.max(50, redis.call('PTTL', KEYS[12])) + 5), 'unknown')
  end
  redis.call('SET', KEYS[12], a.token, 'PX', whole(a.cover))
  held_for(KEYS[7], nil, a.token, a.cover, true)
  held_for(KEYS[8], nil, a.token, a.cover, true)
  return { 'read_back', attempts, probing() }
end

-- Whoever may probe an outage reads back first where others wait for it: asking what happened harms nobody, and it is their turn.
if a.effect and redis.call('HGET', KEYS[7], 'kind') == 'outage'
    and redis.call('EXISTS', KEYS[12]) == 0
    and redis.call('ZCOUNT', KEYS[11], '-inf', whole(now - a.read_back_after)) > 0 then
  redis.call('SET', KEYS[12], a.token, 'PX', whole(a.cover))
  held_for(KEYS[7], nil, a.token, a.cover, true)
  held_for(KEYS[8], nil, a.token, a.cover, true)
  return { 'read_back', attempts, probing() }
end

local slot, again = reserve(KEYS[6], a.interval, a.horizon)
if not slot then return { 'paced', whole(again) } end

held_for(KEYS[7], nil, a.token, a.cover, true)
held_for(KEYS[8], nil, a.token, a.cover, true)
if a.named then redis.call('SET', KEYS[13], record, 'PX', whole(a.life)) end
local lease = slot + a.cover
redis.call('HSET', record, 's', 'running', 'fp', a.fingerprint, 't', a.token, 'cl', whole(now), 'sl', whole(now + slot),
  'le', whole(now + lease), 'n', attempts + 1, 'nd', a.needle, 'rc', reconciled)
redis.call('HDEL', record, 'v', 'ev', 'en', 'rb', 'un')
redis.call('PEXPIRE', record, whole(a.life))
return { 'call', attempts + 1, reconciled, whole(slot), whole(lease), r[14] or '', probing() }
