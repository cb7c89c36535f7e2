-- cancelled.lua: a prelude of other scripts: what was cancelled, and which later jobs a mark catches. Needs clock.lua.
--
--   cancelled  hash  m:<message id>, b:<batch id> -> when it was cancelled (ms), plus the time for which its id is remembered: the outcome
--                    of a message, or the counts of a batch to which nobody adds; u:<message id> -> when it was found that this job may
--                    have been carried out; pace: a second, and how many cancelled jobs were answered in it
--
-- Ids may be used again, next month or every night: that of a batch, and with it those that an import gives its messages. So a mark catches
-- jobs that were sent until the time in the mark, however long they wait; and the mark of a batch later ones, too, as long as the same
-- counts live.

-- A mark is kept as long as a message may wait.
local MARKS_KEPT_MS = 90 * 86400 * 1000
-- Whenever a mark is added, this many are drawn at random, and those that are older are removed.
local CANCELLED_DRAWN = 32

local function mark_cancelled(cancelled, name, at)
  local new = redis.call('HSET', cancelled, name, whole(at))
  local life = at - now + MARKS_KEPT_MS
  if redis.call('PTTL', cancelled) < life then redis.call('PEXPIRE', cancelled, whole(life)) end
  local drawn = redis.call('HRANDFIELD', cancelled, CANCELLED_DRAWN, 'WITHVALUES')
  for i = 1, #drawn, 2 do
    local marked_at = tonumber(drawn[i + 1])
    if marked_at and marked_at < now - MARKS_KEPT_MS then redis.call('HDEL', cancelled, drawn[i]) end
  end
  return new
end

-- Was a message sent by the time in this mark, of itself or of its batch? A producer's clock may be ahead.
local function sent_before(mark, sent)
  return mark and math.min(sent, now) <= (tonumber(mark) or 0)
end

-- Does the mark of its batch catch this job? `counts` is the batch's key.
local function batch_is_cancelled(mark, sent, counts)
  if not mark then return false end
  if sent_before(mark, sent) then return true end
  local id, began_at = unpack(redis.call('HMGET', counts, 'id', 'began_at'))
  return id and (tonumber(began_at) or 0) <= (tonumber(mark) or 0)
end
