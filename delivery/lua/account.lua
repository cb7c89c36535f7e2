-- account.lua: a prelude of other scripts: the account's pace, its holds and its breaker, shared by all workers. Needs clock.lua.
--
--   pace      hash    tat: when the next request may leave (µs); pause: nobody calls before (ms)
--   hold      hash    kind (refused | outage), code, message, since, retry_at, interval (ms), probe (token of the one that may call)
--   outage    hash    run: calls in a row that failed as in an outage; well: when the API last answered (ms)
--   held      list    past holds "<since>:<until>", which do not count towards a deadline

local HOLD_FIRST_MS = 1000
local HOLD_CAP_MS = { refused = 60000, outage = 4000 }
local OUTAGE_TTL_MS = 600000
local HELD_KEPT = 50
local HELD_TTL_MS = 30 * 86400 * 1000
local FURTHEST_SLOT_MS = 10000
local PACE_TTL_MS = 86400000

-- Whom a hold lets through -----------------------------------------------------------------------------------------------------

-- Milliseconds that `token` still has to wait for this hold of this kind (nil: any); nil when it may go on. When the time of a hold
-- has come, one claim may go on: the probe.
local function held_for(hold_key, kind, token, cover_ms)
  local hold = redis.call('HMGET', hold_key, 'kind', 'retry_at', 'probe')
  local present, retry_at, probe = hold[1], hold[2], hold[3]
  if not present or (kind and present ~= kind) or probe == token then return nil end
  local wait = tonumber(retry_at) - now
  -- Further ahead than any hold waits: the clock was set back since.
  if wait > 0 and wait <= HOLD_CAP_MS.refused + cover_ms then return wait end
  return nil
end

-- Makes `token` the probe of a hold that lets it through.
local function take_probe(hold_key, token, cover_ms)
  if redis.call('HEXISTS', hold_key, 'kind') == 1 and not held_for(hold_key, nil, token, cover_ms)
      and redis.call('HGET', hold_key, 'probe') ~= token then
    redis.call('HSET', hold_key, 'probe', token, 'retry_at', whole(now + cover_ms))
  end
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

-- The pace ---------------------------------------------------------------------------------------------------------------------

-- Reserves the next free slot of the account's pace (GCRA with no burst: even spacing, nothing saved up while idle).
-- Answers the milliseconds until the slot and nil, or nil and the milliseconds after which to ask again.
local function reserve(pace_key, interval_us, horizon_ms)
  local pace = redis.call('HMGET', pace_key, 'tat', 'pause')
  local next_free, pause = tonumber(pace[1] or '0'), tonumber(pace[2] or '0')
  if pause > now then return nil, pause - now end
  if interval_us <= 0 then return 0, nil end
  local start = now_us
  -- Further ahead than anybody may reserve: the clock was set back since, or the limit raised.
  if next_free > start and next_free - start <= FURTHEST_SLOT_MS * 1000 + 2 * interval_us then start = next_free end
  local wait_ms = math.ceil((start - now_us) / 1000)
  if wait_ms > horizon_ms then return nil, wait_ms - horizon_ms end
  redis.call('HSET', pace_key, 'tat', whole(start + interval_us))
  redis.call('PEXPIRE', pace_key, PACE_TTL_MS)
  return wait_ms, nil
end
