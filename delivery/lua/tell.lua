-- tell.lua: a prelude of other scripts: writes events to the stream, and to the list where a caller waits for them, if there is one.
--
--   reply  list  the latest events that a caller of this name waits for

local REPLIES_KEPT, REPLIES_TTL_MS = 10000, 3600000

local function keep_latest(reply)
  redis.call('LTRIM', reply, -REPLIES_KEPT, -1)
  redis.call('PEXPIRE', reply, REPLIES_TTL_MS)
end

-- Tries what follows the events: if Redis refused that after them, a repeat would write them again. Answers whether they may be pushed.
-- If a caller named a key that holds something else, it gets no answer there; the stream and the batch must get it all the same.
local function try_push(reply)
  local kind = redis.call('TYPE', reply).ok
  if kind ~= 'list' and kind ~= 'none' then return false end
  keep_latest(reply)
  return true
end

-- `told`: type and JSON of each event. `reply` may be nil.
local function tell(events, maxlen, told, reply)
  if reply then
    for _, event in ipairs(told) do redis.call('RPUSH', reply, event[2]) end
  end
  for i, event in ipairs(told) do
    local added = redis.pcall('XADD', events, 'MAXLEN', '~', maxlen, '*', 'type', event[1], 'event', event[2])
    if type(added) == 'table' then
      -- Take back what was pushed: a repeat of the script pushes it again. The same command, once more, ends the script with its error.
      if reply and i == 1 then redis.call('LTRIM', reply, 0, -#told - 1) end
      redis.call('XADD', events, 'MAXLEN', '~', maxlen, '*', 'type', event[1], 'event', event[2])
    end
  end
  if reply and #told > 0 then keep_latest(reply) end
end
