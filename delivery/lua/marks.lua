-- marks.lua: a prelude of other scripts: which messages succeeded. Many share a hash, since a key for each would take 180 bytes. Needs
-- clock.lua.
--
--   marks  hash  mark (a digest of a message id) -> until when it is remembered that this message succeeded (s, eight hexadecimal digits),
--                and the beginning of the digest of what it had asked for

local SECOND = 1000
local ASKED_DIGITS = 10
local LATEST = 2 ^ 32 - 1
-- With every eighth mark that is added, this many are drawn at random, and those whose time is over are removed.
local MARKS_DRAWN = 32
-- The hash outlives its latest mark by this much, so that not every new mark must set the lifetime of the hash.
local MARKS_OUTLIVE_MS = 60000

-- A value that a stranger wrote, and that is no mark, counts as a mark whose time is over.
local function marked_until(value) return tonumber(string.match(value, '^%x%x%x%x%x%x%x%x') or 0, 16) * SECOND end

local function put_mark(marks, mark, asked, ttl_ms)
  local seconds = math.min(LATEST, math.ceil((now + ttl_ms) / SECOND))
  redis.call('HSET', marks, mark, string.format('%08x', seconds) .. string.sub(asked, 1, ASKED_DIGITS))
  -- Other marks may be kept for longer than this one.
  if redis.call('PTTL', marks) < ttl_ms + SECOND then redis.call('PEXPIRE', marks, whole(ttl_ms + MARKS_OUTLIVE_MS)) end
  if redis.call('HLEN', marks) % 8 > 0 then return end
  local drawn = redis.call('HRANDFIELD', marks, MARKS_DRAWN, 'WITHVALUES')
  for i = 1, #drawn, 2 do
    if marked_until(drawn[i + 1]) < now then redis.call('HDEL', marks, drawn[i]) end
  end
end

-- What a marked message had asked for, and until when that is remembered (ms); nil when there is no mark, or its time is over.
local function marked(marks, mark)
  local value = redis.call('HGET', marks, mark)
  if not value or marked_until(value) < now then return nil end
  return string.sub(value, 9), marked_until(value)
end
