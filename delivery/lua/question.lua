-- question.lua: a prelude of claim.lua and settle.lua: jobs with the same question ask the API once, and share the answer. Needs clock.lua.
--
--   told    hash    known: JSON, an answer that lasts, and known_until (ms); denied: JSON, one that does not, and denied_began, when the
--                   call began that got it (µs); token, began and until: whose call is under way, since when (µs), and until when at most
--                   (ms)
--   asking  zset    messages that wait for the answer: Redis id -> since when (µs)

local KNOWN_TTL_MS = 60000
local TOLD_TTL_MS = 120000
local ASKING_TTL_MS = 600000
-- How many messages are woken at once when the answer is there; the others ask by themselves.
local WOKEN = 200

-- The answer that serves this message, or nil. That the API does not know a webhook is no answer for a message that came after the call
-- began: a forged webhook that comes first must not make the genuine one count as forged.
local function answer_for(told, asking, id)
  local t = redis.call('HMGET', told, 'known', 'known_until', 'denied', 'denied_began')
  local known_left = t[1] and tonumber(t[2]) - now
  if known_left and known_left > 0 and known_left <= KNOWN_TTL_MS then return t[1] end
  local since = t[3] and redis.call('ZSCORE', asking, id)
  if since and tonumber(since) < tonumber(t[4]) then return t[3] end
  return nil
end

-- Is another job putting the same question, with a call of `longest` ms at most? Then this message is noted among those that wait.
local function put_by_another(told, asking, id, token, longest)
  local t = redis.call('HMGET', told, 'token', 'until')
  if not t[1] or t[1] == token then return false end
  local left = tonumber(t[2]) - now
  if left <= 0 or left > longest then return false end
  redis.call('ZADD', asking, 'NX', whole(now_us), id)
  redis.call('PEXPIRE', asking, ASKING_TTL_MS)
  return true
end

local function put_question(told, token, until_ms)
  redis.call('HSET', told, 'token', token, 'began', whole(now_us), 'until', whole(until_ms))
  redis.call('PEXPIRE', told, whole(until_ms - now + TOLD_TTL_MS))
end

-- The call is over: keeps its answer for the messages that wait, and wakes them.
local function tell_all(told, asking, token, text, lasts, delayed)
  local t = redis.call('HMGET', told, 'token', 'began')
  if t[1] ~= token then return end
  if text and lasts then
    redis.call('HSET', told, 'known', text, 'known_until', whole(now + KNOWN_TTL_MS))
  elseif text then
    redis.call('HSET', told, 'denied', text, 'denied_began', t[2])
  end
  redis.call('PEXPIRE', told, TOLD_TTL_MS)
  for _, id in ipairs(redis.call('ZRANGE', asking, 0, WOKEN - 1)) do redis.call('ZADD', delayed, 'XX', whole(now), id) end
  redis.call('HDEL', told, 'token', 'began', 'until')
end
