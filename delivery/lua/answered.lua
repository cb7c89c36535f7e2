-- answered.lua: a prelude of claim.lua and settle.lua: was a message of this id answered before, and is this that very message?
--   answered  string  "<sign><digest>": + when its job succeeded; "-<digest> <redis id>" when it failed. The digest is of what was
--                     asked for, the key included. "!<settlement>" while the events of its answer are due: the JSON that settle.lua got.
--
-- Redis does not roll back. So the answer is noted as due, then its events are written, and then the same command that noted it (it
-- can't be refused now) says that it was given. Whoever finds an answer that is due writes its events.

-- Pages outlive their record, so that whoever replays it finds them all.
local PAGES_OUTLIVE_MS = 60000

-- nil when it was not answered; 'quiet' for a repeat of what succeeded and for the message itself, delivered again; 'used' for any
-- other message under this id; 'due' and the settlement when its events are not written yet. Asked for, the answer is remembered for
-- another ttl_ms.
local function answered_as(answered_key, asked, id, ttl_ms)
  local marker = redis.call('GETEX', answered_key, 'PX', whole(ttl_ms))
  if not marker then return nil end
  if string.sub(marker, 1, 1) == '!' then return 'due', cjson.decode(string.sub(marker, 2)) end
  if marker == '+' .. asked or marker == '-' .. asked .. ' ' .. id then return 'quiet' end
  return 'used'
end

local function note_due(answered_key, text, ttl_ms) redis.call('SET', answered_key, '!' .. text, 'PX', whole(ttl_ms)) end

local function write_events(events, settlement)
  for _, event in ipairs(settlement.events) do
    redis.call('XADD', events, 'MAXLEN', '~', settlement.maxlen, '*', 'type', event[1], 'event', event[2])
  end
end

-- Writes the events of a settlement that is due, and marks its message as answered.
local function give_answer(answered_key, events, due)
  write_events(events, due)
  local succeeded = due.op == 'done' or due.op == 'replay'
  local marker = succeeded and '+' .. due.asked or '-' .. due.asked .. ' ' .. due.id
  redis.call('SET', answered_key, marker, 'PX', whole(due.ttl))
end
