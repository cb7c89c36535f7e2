-- include: clock.lua
-- include: proof.lua
-- include: pauses.lua
-- include: account.lua
-- include: record.lua
-- include: batch.lua
-- include: cancelled.lua
-- include: marks.lua
-- include: tell.lua
-- include: answered.lua
-- include: question.lua
--
-- claim.lua: may this message's job call the API now? One round trip, safe to repeat with the same token.
--
-- KEYS  in the order of the next line. answered, marks: how this message was answered, see answered.lua; acks: set of the ids that this
--       worker has outstanding; bodies: hash id -> message; delayed: zset id -> due (ms); unknown: zset of the listing, record -> when it
--       is looked at next (ms); reader: lock, taken while a worker reads this listing; name: lock, the record that may create a group of
--       this name; pages: list of a remembered listing's pages; told, asking: see question.lua; workers, heartbeats: which workers live,
--       and which secret each uses; events: stream; cancelled: see cancelled.lua; counts: those of the job's batch; the others as
--       account.lua has them, held for the job's view.
local record, answered, marks, acks, bodies, delayed, unknown, reader, name, pages, pace, holds, still, held, parked, alone, told, asking,
  workers, heartbeats, events, cancelled, counts = unpack(KEYS)
-- ARGV  1 JSON: id, token, fingerprint, derived (is the record's key a derived one?), asked, mark (see answered.lua), effect (may a call
--       change anything?), named (is there a name lock?), since, deadline (ms; the job's own, without what holds add), cover (ms a call may
--       take), life (ms a record lives), ttl (ms an outcome is remembered after it was last asked for), interval (µs between requests),
--       horizon (ms a slot may be ahead), read_back_after (ms), needle, may_list (has this process room for another listing?), scope, call
--       (the kind of call), about (which call it is), listing (which call reads it back), lane, weight, waiting (see reserve), place (its
--       queue and kind, for parking), question (may other jobs ask the same?), secret (the name of the one that this process uses), message
--       (its message_id), batch (its batch's id, '' for none), sent (when it was enqueued, before any delay of its producer; ms), worn
--       (have so many workers died with it that it must only end?)
local job = cjson.decode(ARGV[1])
-- Answers  the word, the deadline in force (ms), and:
--   gone                                   the message is not this worker's (any more): do nothing
--   answered                               this message has its event: acknowledged here
--   used                                   the message's id was answered before, for another message
--   replay, outcome                        the key was carried out before
--   conflict                               the key belongs to another job
--   deferred, reason, ms                   moved to `delayed`
--   parked, hold                           moved to where the messages of this hold wait
--   benched, ms                            put back for other workers: this process's secret is refused, theirs is not; take nothing for ms
--   paced, ms, lane                        nothing was changed; ask again after ms; the other lane whose turn it is, or '' for none
--   cancelled, attempts, reconciled, owned   the job was cancelled, and nothing was carried out
--   worn, attempts, reconciled, owned, why   the job must only end; why is 'doubtful' if a call of it may have happened
--   expired, attempts, reconciled, owned, why   the deadline passed and nothing was carried out; owned '0': the record is another job's
--   unknown, attempts, reconciled, owned, why   the deadline passed, and a call may have happened; the record is owned
--   found, attempts, evidence              the lost call did happen; the record is owned
--   told, attempts, evidence               another job has got the answer; the record is owned
--   stands, attempts                       all pages of its listing are staged; the record is owned
--   read_back, attempts, probe, lost_at    read the listing; the reader lock is owned
--   call, attempts, reconciled, slot ms, lease ms, baseline, probe

-- How many cancelled jobs are answered in a second.
local CANCELLED_A_SECOND = 1000

-- The deadline in force: the message's own, plus the time for which holds made it stand still.
local deadline = job.deadline + stood_still(job.since, still, held, job.scope)
local function say(word, ...) return { word, whole(deadline), ... } end

local function defer(due, reason)
  redis.call('SREM', acks, NOBODY)
  redis.call('ZADD', delayed, whole(due), job.id)
  redis.call('SREM', acks, job.id)
  return say('deferred', reason, whole(due - now))
end

local function park(name)
  local place = name .. '|' .. job.place
  redis.call('SREM', acks, NOBODY)
  redis.call('ZADD', parked .. ':' .. place, whole(job.since), job.id)
  redis.call('SADD', parked, place)
  redis.call('SREM', acks, job.id)
  return say('parked', name)
end

local function wait_for_other() return defer(math.min(deadline, after_other(job.since)), 'busy') end

local standing, passing = holds_of(holds, job.scope, job.call, job.secret)

-- The first of these holds that this job must wait for, and how long (ms). A look-up does not wait for an outage of one
-- kind of call, but for every other hold.
local function stopped_by(list, only_looks)
  for _, one in ipairs(list) do
    local wait = not (only_looks and one.hold.call_only) and waits_for(one.hold, job)
    if wait then return one, wait end
  end
end

-- Is this claim the probe of a hold?
local function probing()
  for _, list in ipairs({ standing, passing }) do
    for _, one in ipairs(list) do
      if one.hold.probe == job.token then return '1' end
    end
  end
  return '0'
end

-- Makes this claim the probe of every hold that lets it through. A look-up shows nothing about an outage of one kind of call: if it were
-- the probe, those who look up lost calls would put off the next call for as long as they come.
local function take_probes(only_looks)
  for _, list in ipairs({ standing, passing }) do
    for _, one in ipairs(list) do
      local shows = not (only_looks and one.hold.call_only)
      if shows and one.hold.probe and one.hold.kind ~= 'asked' and one.hold.probe ~= job.token then
        one.hold.probe, one.hold.retry_at = job.token, now + job.cover
        redis.call('HSET', holds, one.name, cjson.encode(one.hold))
      end
    end
  end
end

-- 1. Is the message still here, and was it, or its job, answered before? ---------------------------------------------------------

if redis.call('SISMEMBER', acks, job.id) == 0 then return say('gone') end

local r = read(record, 'state', 'fingerprint', 'token', 'claimed_at', 'slot', 'lease_end', 'attempts', 'baseline', 'lost_at', 'look_at',
  'verdict', 'evidence', 'reconciled', 'bodies', 'id', 'why', 'telling')
local attempts, reconciled = tonumber(r.attempts) or 0, r.reconciled or '0'

-- A record is renewed whenever somebody asks for it: a file that is imported every night must not add its contacts again after a week.
if r.state == 'done' then
  -- While a hold lasts, it may have parked a repeat of this job, and with that kept the record until the repeat comes back: see park.lua.
  local is_held = #standing + #passing > 0
  if not is_held or redis.call('PTTL', record) < job.ttl then redis.call('PEXPIRE', record, whole(job.ttl)) end
  redis.call('PEXPIRE', pages, whole(job.ttl + PAGES_OUTLIVE_MS))
elseif r.state then
  redis.call('PEXPIRE', record, whole(job.life))
end

local answer, due = answered_as(answered, marks, job)
if answer == 'due' then
  -- The settlement of this answer was cut off before the events were written, and its worker did not repeat it.
  give_answer(answered, marks, events, due)
  answer = answered_as(answered, marks, job)
end
if answer == 'quiet' then
  redis.call('HDEL', bodies, NOBODY)
  redis.call('SREM', acks, job.id)
  redis.call('HDEL', bodies, job.id)
  return say('answered')
end
if answer then return say(answer) end

-- Does the record belong to a job that asks for something else under this key?
-- A record that is done keeps only the beginning of its fingerprint.
local others = r.fingerprint and r.fingerprint ~= string.sub(job.fingerprint, 1, #r.fingerprint)
if others and (r.state == 'done' or not job.derived) then return say('conflict') end
if r.state == 'done' then return say('replay', redis.call('HGET', record, field('outcome'))) end

-- 2. Is a call under way? ----------------------------------------------------------------------------------------------------------

if r.state == 'running' and r.token == job.token then
  -- The reply to this very claim was lost: answer the same again.
  if r.telling == job.id then return say('stands', attempts) end
  local slot, lease = math.max(0, tonumber(r.slot) - now), tonumber(r.lease_end) - now
  return say('call', attempts, reconciled, whole(slot), whole(lease), r.baseline or '', probing())
end
if r.state == 'running' then
  local lease_end = tonumber(r.lease_end)
  if tonumber(r.claimed_at) > now then
    -- The clock was set back since, and nobody knows when the call began: give it the time of a whole call from now.
    r.claimed_at, lease_end = 0, now + job.cover
    write(record, { claimed_at = 0, lease_end = lease_end })
  end
  if now < lease_end then
    return defer(after_busy(tonumber(r.claimed_at), lease_end), 'busy')
  end
  if r.telling == job.id then
    write(record, { token = job.token, claimed_at = now, lease_end = now + job.cover })
    return say('stands', attempts)
  end
  -- The staged pages are for another message under this key; a new listing for this message would replace them.
  if r.telling and redis.call('HEXISTS', r.bodies, r.telling) == 1 then return wait_for_other() end
  redis.call('HDEL', record, NOBODY)
  -- The worker died. If the baseline of a group was never noted, the call was never made; and a read changes nothing.
  if job.effect and (not job.named or r.baseline) then
    r.state, r.lost_at, r.look_at, r.verdict = 'unknown', lease_end, look_time(lease_end, job.read_back_after, deadline), nil
    write(record, { state = 'unknown', lost_at = r.lost_at, look_at = r.look_at })
    forget(record, 'token', 'verdict', 'evidence')
    redis.call('ZADD', unknown, whole(r.look_at), record)
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
  if others then return say('conflict') end
  own('unknown')
  return say('found', attempts, r.evidence)
end

-- Cancelled? A call that may have happened is looked up first, and the job ends with what that finds.
local marks = redis.call('HMGET', cancelled, 'm:' .. job.message, 'b:' .. job.batch, 'pace')
if sent_before(marks[1], job.sent) or batch_is_cancelled(marks[2], job.sent, counts) then
  if not (r.state == 'unknown' and r.verdict ~= 'absent') then
    -- A reader of the stream must be able to follow, however many jobs are cancelled at once.
    local second = math.floor(now / 1000)
    local at, told = string.match(marks[3] or '', '^(%d+) (%d+)$')
    told = tonumber(at) == second and tonumber(told) or 0
    if told >= CANCELLED_A_SECOND then return defer((second + 1) * 1000, 'cancelled') end
    redis.call('HSET', cancelled, 'pace', whole(second) .. ' ' .. whole(told + 1))
    if others then return say('cancelled', 0, '0', '0') end
    own('waiting')
    return say('cancelled', attempts, reconciled, '1')
  end
  -- The job waits for its look-up, or for the end of a hold: note that, so that it is not brought forward again and again meanwhile.
  mark_cancelled(cancelled, 'u:' .. job.message, now)
end

if job.worn then
  if others then return say('worn', 0, '0', '0', '') end
  local doubtful = r.state == 'unknown' and r.verdict ~= 'absent'
  own(doubtful and 'unknown' or 'waiting')
  return say('worn', attempts, reconciled, '1', doubtful and 'doubtful' or '')
end

-- 3. Must it wait for another job? -------------------------------------------------------------------------------------------------

-- The record belongs to a job for the same contact with other data. That job came first, so it ends first, as long as its message is there.
if others then
  if now >= deadline then
    if r.state == 'unknown' and r.id == job.id then
      -- A verdict that was made for this job must not count for a retry of the first one, which must look for itself.
      forget(record, 'verdict', 'evidence')
      redis.call('ZREM', unknown, record)
    end
    return say('expired', 0, '0', '0', '')
  end
  if r.id and r.id ~= job.id and redis.call('HEXISTS', r.bodies, r.id) == 1 then return wait_for_other() end
  attempts, reconciled = 0, '0'
end

if job.named then
  local holder = redis.call('GET', name)
  if holder ~= record then
    local its = holder and read(holder, 'state', 'lease_end', 'bodies', 'id') or {}
    -- A holder whose message is gone, with no call under way, will never free the name.
    local calling = its.state == 'running' and now < tonumber(its.lease_end)
    local waiting = (its.state == 'running' or its.state == 'unknown') and its.id and redis.call('HEXISTS', its.bodies, its.id) == 1
    if (calling or waiting) and now < deadline then return wait_for_other() end
    -- Other jobs may have had the name since: the baseline is out of date, unless this job's own call may have happened.
    if r.state ~= 'unknown' then
      forget(record, 'baseline')
      r.baseline = nil
    end
  end
end

-- 4. Is the account held, or the deadline over? --------------------------------------------------------------------------------------

local must_read_back = r.state == 'unknown' and r.verdict ~= 'absent'
-- The next call is the listing. All jobs that read the same listing count as one call here, since they would meet the same refusal.
if must_read_back then job.about = job.listing end

local stop, wait = stopped_by(standing)
if stop and stop.hold.secret and others_may_call(holds, workers, heartbeats) then
  -- Due at once, in the order of enqueueing; a producer's clock may be ahead.
  defer(math.min(job.since, now), 'benched')
  return say('benched', whole(wait))
end
if stop then return park(stop.name) end

if now >= deadline then
  redis.call('HDEL', alone, job.about)
  own(must_read_back and 'unknown' or 'waiting')
  return say(must_read_back and 'unknown' or 'expired', attempts, reconciled, '1', r.why or '')
end

stop, wait = stopped_by(passing, must_read_back)
if stop and stop.hold.kind == 'asked' and stop.hold.length <= PAUSE.asked_short then return say('paced', whole(wait), '') end
if stop then return park(stop.name) end

-- A call that was refused while others passed waits alone.
local alone_until = tonumber(string.match(redis.call('HGET', alone, job.about) or '', ' (%d+)$'))
if alone_until and alone_until > now and alone_until <= now + job.life then
  return defer(math.min(alone_until, deadline), 'refused alone')
end

-- 5. Read back, or call ------------------------------------------------------------------------------------------------------------

local function read_back()
  redis.call('SET', reader, job.token, 'PX', whole(job.cover))
  take_probes(true)
  return say('read_back', attempts, probing(), must_read_back and whole(tonumber(r.lost_at)) or '')
end

if must_read_back then
  -- The message that a verdict on this record wakes.
  write(record, { waiting_in = delayed, bodies = bodies, id = job.id, message = job.message, deadline = deadline })
  -- After a worker's death or a dead letter's retry, the record may be missing from the set.
  redis.call('ZADD', unknown, r.look_at, record)
  if job.named then redis.call('SET', name, record, 'PX', whole(job.life)) end
  local due = tonumber(r.look_at)
  if tonumber(r.lost_at) > now then
    -- The clock was set back since the answer was lost.
    r.lost_at, due = now, look_time(now, job.read_back_after, deadline)
    write(record, { lost_at = now, look_at = due })
    redis.call('ZADD', unknown, whole(due), record)
  end
  if now < due then return defer(math.min(due, deadline), 'unknown') end
  local reading = redis.call('GET', reader)
  if reading and reading ~= job.token then
    return defer(math.min(deadline, after_reader(redis.call('PTTL', reader))), 'unknown')
  end
  if not job.may_list then return defer(math.min(deadline, now + PAUSE.listing_room), 'unknown') end
  return read_back()
end

-- A job that may probe an outage reads back first if records wait for its listing: a listing changes nothing, and they come first.
local in_outage = false
for _, one in ipairs(passing) do in_outage = in_outage or (one.hold.kind == 'outage' and not one.hold.call_only) end
if job.effect and job.may_list and in_outage and (redis.call('GET', reader) or job.token) == job.token
    and redis.call('ZCOUNT', unknown, '-inf', whole(now)) > 0 then
  return read_back()
end

if job.question then
  local evidence = answer_for(told, asking, job.id)
  if evidence then
    own('waiting')
    redis.call('ZREM', asking, job.id)
    return say('told', attempts, evidence)
  end
  if put_by_another(told, asking, job.id, job.token, job.horizon + job.cover) then return wait_for_other() end
end

local slot, again, turn = reserve(pace, job, job.interval, job.horizon)
if not slot then return say('paced', whole(again), turn or '') end

take_probes()
if job.named then redis.call('SET', name, record, 'PX', whole(job.life)) end
local lease = slot + job.cover
write(record, { state = 'running', fingerprint = job.fingerprint, token = job.token, claimed_at = now, slot = now + slot,
  lease_end = now + lease, attempts = attempts + 1, needle = job.needle, reconciled = reconciled, waiting_in = delayed,
  bodies = bodies, id = job.id, message = job.message, deadline = deadline })
forget(record, 'verdict', 'evidence', 'lost_at', 'look_at', 'looks', 'telling')
redis.call('PEXPIRE', record, whole(job.life))
if job.question then
  put_question(told, job.token, now + lease)
  redis.call('ZREM', asking, job.id)
end
return say('call', attempts + 1, reconciled, whole(slot), whole(lease), r.baseline or '', probing())
