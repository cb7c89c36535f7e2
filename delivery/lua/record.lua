-- record.lua: a prelude of other scripts: the ledger's record, one hash for each actor and idempotency key. Needs clock.lua.
--
-- Every field, by the name that scripts use, and its short name in Redis, which may hold a million records:

local FIELDS = {
  state = 's',          -- running | waiting | unknown | done; a record that is not there is absent
  fingerprint = 'fp',   -- digest of what the job asks for
  token = 't',          -- whose claim it is
  claimed_at = 'cl',    -- ms
  slot = 'sl',          -- when its slot of the pace is (ms)
  lease_end = 'le',     -- until when its call may be under way (ms)
  attempts = 'n',       -- how many attempts have called the API
  needle = 'nd',        -- what a listing is searched for
  baseline = 'bl',      -- JSON: what must not be taken for the job's effect
  lost_at = 'en',       -- when the lost call ended (ms)
  look_at = 'rb',       -- when it may be read back (ms)
  looks = 'un',         -- how many listings left it undecided
  verdict = 'v',        -- found | absent
  evidence = 'ev',      -- JSON: what was found
  reconciled = 'rc',    -- 1 once a listing gave a verdict on it, or failed to (`undecided`)
  waiting_in = 'q',     -- of the message that a verdict wakes: its queue's delayed set,
  bodies = 'b',         -- its queue's bodies,
  id = 'id',            -- its Redis id,
  message = 'm',        -- its message_id,
  deadline = 'dl',      -- and its deadline (ms)
  why = 'w',            -- why it was put off last, in words
  outcome = 'o',        -- JSON: what a replay answers
  batch = 'pb',         -- the batch of pages that was staged last
  kept = 'pk',          -- the batch of pages that was kept for a replay last
  another = 'an',       -- how many answers of its calls said OK about another contact or group than was asked for
  telling = 'tl',       -- the Redis id of the message whose pages are all staged, and are being written
}

-- In parentheses, since assert returns its message as well.
local function field(name) return (assert(FIELDS[name], 'a record has no field ' .. name)) end

-- The named fields as a table; what is not there is nil.
local function read(key, ...)
  local short, fields = {}, {}
  for i, name in ipairs({ ... }) do short[i] = field(name) end
  for i, value in ipairs(redis.call('HMGET', key, unpack(short))) do fields[select(i, ...)] = value or nil end
  return fields
end

local function write(key, fields)
  local pairs_of = {}
  for name, value in pairs(fields) do
    pairs_of[#pairs_of + 1] = field(name)
    pairs_of[#pairs_of + 1] = type(value) == 'number' and whole(value) or value
  end
  redis.call('HSET', key, unpack(pairs_of))
end

-- Removes all fields but those that are named.
local function forget_all_but(key, ...)
  local kept, short = {}, {}
  for _, name in ipairs({ ... }) do kept[field(name)] = true end
  for _, name in pairs(FIELDS) do
    if not kept[name] then short[#short + 1] = name end
  end
  redis.call('HDEL', key, unpack(short))
end

local function forget(key, ...)
  local short = {}
  for i, name in ipairs({ ... }) do short[i] = field(name) end
  redis.call('HDEL', key, unpack(short))
end
