-- account.lua: a prelude of claim.lua, settle.lua and reserve.lua. Needs clock.lua.
--
-- The account's troubles and its pace, shared by all workers.
--   pace      hash    tat: when the next request may leave (µs); pause: nobody calls before (ms)
--   hold      hash    kind (refused | outage), code, message, since, retry_at, interval (ms), probe (token of the one that may call)
--   outage    hash    run: calls in a row that failed as in an outage; well: when the API last answered (ms)
--   held      list    past holds "<since>:<until>", which do not count towards a deadline

local HOLD_FIRST_MS = 1000
local HOLD_CAP_MS = { refused = 60000, outage = 4000 }
local OUTAGE_TTL_MS = 600000
local HELD_KEPT = 50
local FURTHEST_SLOT_MS = 10000
local HELD_TTL_MS = 30 * 86400 * 1000

-- Milliseconds that `token` still has to wait for this hold, nil when it may go on. A hold whose time has come lets one go on: the probe.
local function held_for(hold_key, kind, token, cover_ms, commit)
  local hold = redis.call('HMGET', hold_key, 'kind', 'retry_at', 'probe')
  if not hold[1] or (kind and hold[1] ~= kind) then return nil end
  if hold[3] == token then return nil end
  local wait = tonumber(hold[2]) - now
  -- Further ahead than any hold waits: the clock was set back since.
  if wait > 0 and wait <= HOLD_CAP_MS.refused + cover_ms then return wait end
  if commit then
    redis.call('HSET', hold_key, 'probe', token, 'retry_at', whole(now + cover_ms))
  end
  return nil
end

-- Milliseconds of [since, now] during which work was held by a refusal, from the past holds and the present one.
local function held_between(since, held_key, hold_key)
  local sum = 0
  for _, span in ipairs(redis.call('LRANGE', held_key, 0, -1)) do
    local from, to = string.match(span, '^(%d+):(%d+)$')
    from, to = math.max(tonumber(from), since), math.min(tonumber(to), now)
    if to > from then sum = sum + (to - from) end
  end
  local hold = redis.call('HMGET', hold_key, 'kind', 'since')
  if hold[1] == 'refused' then sum = sum + math.max(0, now - math.max(tonumber(hold[2]), since)) end
  return sum
end

-- Reserves the next free slot of the account's pace (GCRA with no burst: even spacing, nothing saved up while idle).
-- Answers the milliseconds until the slot and nil, or nil and the milliseconds after which to ask again.
local function reserve(pace_key, interval_us, horizon_ms)
  local pace = redis.call('HMGET', pace_key, 'tat', 'pause')
  local start = now_us
  if pace[2] and tonumber(pace[2]) > now then
    return nil, tonumber(pace[2]) - now
  end
  if interval_us <= 0 then return 0, nil end
  local next_free = tonumber(pace[1] or '0')
  -- Further ahead than anybody may reserve: the clock was set back since, or the limit raised.
  if next_free > start and next_free - start <= FURTHEST_SLOT_MS * 1000 + 2 * interval_us then start = next_free end
  local wait_ms = math.ceil((start - now_us) / 1000)
  if wait_ms > horizon_ms then return nil, wait_ms - horizon_ms end
  redis.call('HSET', pace_key, 'tat', whole(start + interval_us))
  redis.call('PEXPIRE', pace_key, 86400000)
  return wait_ms, nil
end
