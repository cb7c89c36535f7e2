-- include: clock.lua
-- include: proof.lua
-- include: pauses.lua
-- include: account.lua
-- include: holds.lua
--
-- pause.lua: an operator holds a scope, or lets it go. Safe to repeat.
--
-- KEYS  in the order of the next line (see account.lua and holds.lua)
local holds, still, held_account, held_sms, held_email, troubles, events, workers, heartbeats = unpack(KEYS)
-- ARGV  1 'pause' or 'resume'   2 scope   3 reason   4 who paused   5 maxlen of the events' stream
local word, scope, reason, worker, maxlen = unpack(ARGV)
-- Answers 1 if that changed anything.

local account = { holds = holds, still = still, held_account = held_account, held_sms = held_sms, held_email = held_email,
  troubles = troubles, events = events, maxlen = maxlen, workers = workers, heartbeats = heartbeats }
local name = scope .. '/paused'
local text = redis.call('HGET', holds, name)
if (text and true or false) == (word == 'pause') then return 0 end
if word == 'pause' then
  begin_hold(account, name, { scope = scope, kind = 'paused', code = '', message = reason, worker = worker, since = now })
else
  end_hold(account, name, cjson.decode(text))
end
return 1
