-- answered.lua: a prelude of claim.lua and settle.lua: was a message of this id answered before, and is this that very message? It also
-- writes an answer, once, with all that is counted in that step. Needs clock.lua, marks.lua, batch.lua and tell.lua.
--
--   answered  string  "<sign><digest>": + when its job succeeded; "-<digest> <redis id>" when it failed. The digest is of what was
--                     asked for, the key included. "!<settlement>" while the events of its answer are due: the JSON that settle.lua got.
--   <minutes>:<n>  hash  of the minute that began n minutes after 1970: <lane>|<outcome> -> how many jobs were answered; <lane>|first ->
--                        when the first of them was (ms)
--   marks     hash    see marks.lua: what a success leaves instead of such a key
--
-- `job` has id, asked (that digest), mark (of the message id), ttl (ms), and small (may it leave a mark? Older releases know none).
--
-- Redis does not roll back a script. So the answer is noted as due, then its events are written, and then the same command that noted it
-- (it can't be refused now) notes that it was given. Any script that finds an answer due writes its events.

-- Pages outlive their record, so that a replay of the record finds them all.
local PAGES_OUTLIVE_MS = 60000

-- How many characters of its fingerprint a record keeps once it is done.
local SHORT_FINGERPRINT = 16

-- nil when the id was not answered; 'quiet' for a repeat of a job that succeeded and for the message itself, delivered again; 'used' for
-- any other message under this id; 'due' and the settlement when its events are not written yet. Each look at an answer keeps it for
-- another ttl.
local function answered_as(answered_key, marks, job)
  local marker = redis.call('GETEX', answered_key, 'PX', whole(job.ttl))
  if not marker then
    local asked, until_ms = marked(marks, job.mark)
    if not asked then return nil end
    if until_ms < now + job.ttl then put_mark(marks, job.mark, asked, job.ttl) end
    return asked == string.sub(job.asked, 1, ASKED_DIGITS) and 'quiet' or 'used'
  end
  if string.sub(marker, 1, 1) == '!' then return 'due', cjson.decode(string.sub(marker, 2)) end
  if marker == '+' .. job.asked or marker == '-' .. job.asked .. ' ' .. job.id then return 'quiet' end
  return 'used'
end

local function note_due(answered_key, text, ttl_ms) redis.call('SET', answered_key, '!' .. text, 'PX', whole(ttl_ms)) end

local MINUTES_KEPT_MS = 2 * 86400 * 1000
local MINUTE = 60000
local function minute_of(minutes) return minutes .. ':' .. whole(math.floor(now / MINUTE)) end

-- `tally` is what the minutes' keys begin with, the lane and the outcome. Tries what count_minute does, and adds what goes with a new
-- field.
local function try_minute(tally)
  local key = minute_of(tally[1])
  if redis.call('HINCRBY', key, tally[2] .. '|' .. tally[3], 0) > 0 then return end
  redis.call('HSETNX', key, tally[2] .. '|first', whole(now))
  redis.call('PEXPIRE', key, MINUTES_KEPT_MS)
end

local function count_minute(tally) redis.call('HINCRBY', minute_of(tally[1]), tally[2] .. '|' .. tally[3], 1) end

-- Tries what follows the events: if Redis refused that after them, a repeat would write them again.
local function try_elsewhere(settlement)
  local counts, tally = settlement.counts, settlement.tally
  if settlement.reply and not try_push(settlement.reply) then settlement.reply = nil end
  if counts then try_count(counts, settlement.ttl, settlement.life) end
  if tally then try_minute(tally) end
end

local function write_events(events, settlement)
  try_elsewhere(settlement)
  tell(events, settlement.maxlen, settlement.events, settlement.reply)
end

-- Writes the events of a settlement that is due, and marks its message as answered.
local function give_answer(answered_key, marks, events, due)
  local succeeded = due.op == 'done' or due.op == 'replay'
  local small = succeeded and due.small
  if small then
    redis.call('DEL', answered_key .. NOBODY)
    put_mark(marks, due.mark, due.asked, due.ttl)
  end
  write_events(events, due)
  if due.tally then count_minute(due.tally) end
  if due.counts then count_answer(due.counts, due.since or now, events, due.maxlen) end
  local marker = succeeded and '+' .. due.asked or '-' .. due.asked .. ' ' .. due.id
  redis.call('SET', answered_key, marker, 'PX', whole(due.ttl))
  if small then redis.call('DEL', answered_key) end
end
