-- answered.lua: a prelude of claim.lua and settle.lua: was a message of this id answered before, and is this that very message?
--   answered  string  "<sign><digest>": + when its job succeeded; "-<digest> <redis id>" when it failed. The digest is of what was
--                     asked for, the key included.

-- Pages outlive their record, so that whoever replays it finds them all.
local PAGES_OUTLIVE_MS = 60000

-- nil when it was not answered; 'quiet' for a repeat of what succeeded and for the message itself, delivered again; 'used' for any
-- other message under this id. Asked for, the answer is remembered for another ttl_ms.
local function answered_as(answered_key, asked, id, ttl_ms)
  local marker = redis.call('GETEX', answered_key, 'PX', whole(ttl_ms))
  if not marker then return nil end
  if marker == '+' .. asked or marker == '-' .. asked .. ' ' .. id then return 'quiet' end
  return 'used'
end

local function mark_answered(answered_key, sign, asked, id, ttl_ms)
  local marker = sign == '+' and '+' .. asked or '-' .. asked .. ' ' .. id
  redis.call('SET', answered_key, marker, 'PX', whole(ttl_ms))
end
