-- include: clock.lua
-- include: proof.lua
--
-- tend.lua: writes a worker's heartbeat; and one worker at a time keeps the queues in order for all, several times a second, whatever its
-- jobs do. Safe to repeat.
--
-- KEYS  1 heartbeats: zset worker -> last seen (ms)   2 workers: hash worker -> JSON   3 holds   4 parked (see account.lua)
--       5 sweep: hash; in it, who keeps the queues for all (keeper), and until when (kept_until, ms)   6 suspects (see fetch.lua)
--       then 9 for each queue: ready, bodies, delayed, stock_delayed, stock_delayed_bodies, dead, dead_bodies, dead_reasons, deaths
-- ARGV  1 worker   2 its JSON, '' between heartbeats   3 ms of silence that mean death, 0 not to take over anything
--       4 ms that a dead letter is kept   5 the namespace   6 when this was sent, by Redis's clock (ms)
--       7 'wake': move one due id to an empty list, to wake the workers that wait for it; 'all': move a batch of due ids
--       8 the latest valid due time (ms)   9... name of each queue
-- Answers ms until the next delayed message falls due (-1: none), the number of messages moved, the workers taken over (the id of each,
-- how many messages it had, and the message_ids of the first of them), Redis's time (ms), what went wrong with a queue ('' if nothing;
-- a queue whose key has a wrong type does not hold up the others), how many holds and parking places there are, how many messages there
-- are, for how many ms another worker keeps the queues (0: this one does), and the names of queues that seem to have strays (see 6).

local heartbeats, workers, holds, parked, sweep, suspects = unpack(KEYS)
local me, about, silence, letters_kept, namespace, sent_at = ARGV[1], ARGV[2], tonumber(ARGV[3]), tonumber(ARGV[4]), ARGV[5], tonumber(ARGV[6])
local all_due, latest = ARGV[7] == 'all', tonumber(ARGV[8])
local acks_prefix = namespace .. ':__acks__.'

local BATCH = 200
-- How long to wait for a keeper that does not come back.
local KEPT_MS = 2000
-- Most bytes of stock producers' delayed messages to read in one run, and the longest message to read: a longer one is no job.
local STOCK_BYTES, LONGEST_BODY = 1048576, 1048576
-- A heartbeat of a worker that never registered is a stock broker's, which sends one only when it does something. It is dropped after a
-- day, so many in one run.
local STRANGER_MS, STRANGERS_AT_ONCE = 86400000, 1000
-- Lua passes no more than some thousands of arguments to a function.
local AT_ONCE = 1000
-- How many messages of a dead worker are named. A long one, which takes time to read, is named by its Redis id.
local NAMED, LONGEST_READ = 100, 16384

local beat = about ~= ''
-- A Redis that was frozen runs this late, and finds every worker silent: then nobody is called dead.
if now - sent_at > silence / 2 then silence = 0 end
local moved, next_due, dead_workers = 0, nil, {}
local queues = {}
for q = 9, #ARGV do
  local k = 6 + (q - 9) * 9
  queues[#queues + 1] = { name = ARGV[q], ready = KEYS[k + 1], bodies = KEYS[k + 2], delayed = KEYS[k + 3], stock = KEYS[k + 4],
    stock_bodies = KEYS[k + 5], dead = KEYS[k + 6], dead_bodies = KEYS[k + 7], dead_reasons = KEYS[k + 8],
    deaths = KEYS[k + 9] }
end

-- 1. The heartbeat, before anything can go wrong.
if beat then
  redis.call('ZADD', heartbeats, whole(now), me)
  redis.call('HSET', workers, me, about)
end

local keeper, kept_until = unpack(redis.call('HMGET', sweep, 'keeper', 'kept_until'))
local left = (tonumber(kept_until) or 0) - now
if keeper and keeper ~= me and left > 0 and left <= KEPT_MS and not all_due then
  return { -1, 0, {}, whole(now), '', 0, 0, math.ceil(left), {} }
end
-- A worker that stops must not become the keeper: nobody would keep the queues for that long.
if not all_due then redis.call('HSET', sweep, 'keeper', me, 'kept_until', whole(now + KEPT_MS)) end

-- A heartbeat from the future was left when the clock was set back, and would never be missed: date it now.
if beat then
  for _, worker in ipairs(redis.call('ZRANGEBYSCORE', heartbeats, '(' .. whole(now), '+inf', 'LIMIT', 0, AT_ONCE)) do
    redis.call('ZADD', heartbeats, whole(now), worker)
  end
end

-- Puts those of these ids that have a message at the head of a list.
local function push_back(list, bodies, ids)
  local real = {}
  for _, id in ipairs(ids) do
    if redis.call('HEXISTS', bodies, id) == 1 then real[#real + 1] = id end
  end
  if #real > 0 then redis.call('LPUSH', list, unpack(real)) end
end

-- 2. Messages that stock producers delayed move to `delayed`.
local function move_stock_delays(queue)
  local ids = redis.call('LRANGE', queue.stock, 0, BATCH - 1)
  if #ids == 0 then return end
  redis.call('LTRIM', queue.stock, 0, -1)
  redis.call('HDEL', queue.stock_bodies, NOBODY)
  local at_once, bytes, seen = {}, 0, {}
  for _, id in ipairs(ids) do
    bytes = bytes + redis.call('HSTRLEN', queue.stock_bodies, id)
    if bytes > STOCK_BYTES and #seen > 0 then break end
    seen[#seen + 1] = id
    local body = redis.call('HGET', queue.stock_bodies, id)
    local due
    if body and #body > LONGEST_BODY then
      redis.call('HSET', queue.bodies, id, body)
    elseif body then
      local fine, message = pcall(cjson.decode, body)
      if fine and type(message) == 'table' and type(message.options) == 'table' and type(message.options.eta) == 'number' then
        due = message.options.eta
      end
      redis.call('HSET', queue.bodies, id, body)
    end
    -- Without a body or a valid due time the id goes to the queue at once, where an unreadable entry is set aside.
    if due and due >= 0 and due <= latest then
      redis.call('ZADD', queue.delayed, whole(due), id)
    else
      at_once[#at_once + 1] = id
    end
  end
  -- Push all of them in one command, after all commands that may be repeated: a repeat must not push an id twice.
  if #at_once > 0 then redis.call('RPUSH', queue.ready, unpack(at_once)) end
  redis.call('LTRIM', queue.stock, #seen, -1)
  redis.call('HDEL', queue.stock_bodies, unpack(seen))
  -- If some did not fit, say that a whole batch moved: then this script runs again at once.
  moved = moved + (#seen < #ids and BATCH or #seen)
end

-- 3. fetch.lua takes due jobs by itself, in due order. But workers blocked on an empty list only wake when something is pushed. Push the
--    job that is due last: the woken worker fetches the earlier ones from `delayed` first. A worker that stops moves all due jobs, since
--    it has just given up jobs and may have been the only worker: a batch in each run.
local most = all_due and BATCH or 1
local function wake(queue)
  if most > 1 or redis.call('LLEN', queue.ready) == 0 then
    local due = redis.call('ZREVRANGEBYSCORE', queue.delayed, whole(now), '-inf', 'LIMIT', 0, most)
    if #due > 0 then
      redis.call('ZREM', queue.delayed, NOBODY)
      push_back(queue.ready, queue.bodies, due)
      redis.call('ZREM', queue.delayed, unpack(due))
    end
    moved = moved + #due
  end
  local first = redis.call('ZRANGEBYSCORE', queue.delayed, '(' .. whole(now), '+inf', 'WITHSCORES', 'LIMIT', 0, 1)
  if first[2] then
    local wait = tonumber(first[2]) - now
    next_due = math.min(next_due or wait, wait)
  end
end

-- 4. Dead letters are removed after a while.
local function forget_old_letters(queue)
  local old = redis.call('ZRANGEBYSCORE', queue.dead, '-inf', whole(now - letters_kept), 'LIMIT', 0, BATCH)
  if #old > 0 then
    redis.call('HDEL', queue.dead_bodies, unpack(old))
    redis.call('HDEL', queue.dead_reasons, unpack(old))
    redis.call('ZREM', queue.dead, unpack(old))
  end
end

-- 5. Messages that dead workers had outstanding go back to their queues. Each of them may have killed its worker; if one was tried alone,
--    only that one.
local function name_of(bodies, id)
  if redis.call('HSTRLEN', bodies, id) > LONGEST_READ then return id end
  local fine, message = pcall(cjson.decode, redis.call('HGET', bodies, id) or '')
  return fine and type(message) == 'table' and type(message.message_id) == 'string' and message.message_id or id
end

local function give_back(worker, queue, had, alone)
  for suffix, target in pairs({ [''] = { queue.ready, queue.bodies }, ['.DQ'] = { queue.stock, queue.stock_bodies } }) do
    local acks = acks_prefix .. worker .. '.' .. queue.name .. suffix
    redis.call('SREM', acks, NOBODY)
    local ids = redis.call('SMEMBERS', acks)
    had.count = had.count + #ids
    for _, id in ipairs(ids) do
      if #had.names >= NAMED then break end
      had.names[#had.names + 1] = name_of(target[2], id)
    end
    for from = 1, #ids, AT_ONCE do
      local some = { unpack(ids, from, math.min(#ids, from + AT_ONCE - 1)) }
      local suspected = {}
      for _, id in ipairs(some) do
        if queue.deaths and suffix == '' and (not alone or alone == id) and redis.call('HEXISTS', target[2], id) == 1 then
          redis.call('HINCRBY', queue.deaths, id, 0)
          suspected[#suspected + 1] = id
        end
      end
      push_back(target[1], target[2], some)
      for _, id in ipairs(suspected) do redis.call('HINCRBY', queue.deaths, id, 1) end
      redis.call('SREM', acks, unpack(some))
    end
  end
end

local function told_of(worker)
  local fine, told = pcall(cjson.decode, redis.call('HGET', workers, worker) or '{}')
  return fine and type(told) == 'table' and told or {}
end

-- Returns the queues of this version, and those that the worker named beside them: a newer version may have more.
local function queues_of(told)
  local its, known = {}, {}
  for _, queue in ipairs(queues) do its[#its + 1], known[queue.name] = queue, true end
  for _, name in ipairs(type(told.queues) == 'table' and told.queues or {}) do
    if type(name) == 'string' and not known[name] then
      local ready = namespace .. ':' .. name
      its[#its + 1] = { name = name, ready = ready, bodies = ready .. '.msgs', stock = ready .. '.DQ', stock_bodies = ready .. '.DQ.msgs' }
    end
  end
  return its
end

-- 6. Counts the ids that are in a list or a set. If there are more messages, some seem to be strays: a list was deleted or evicted, or
--    nobody knows their worker.
local function standing(queue)
  local count = redis.call('LLEN', queue.ready) + redis.call('ZCARD', queue.delayed)
  for _, worker in ipairs(redis.call('HKEYS', workers)) do count = count + redis.call('SCARD', acks_prefix .. worker .. '.' .. queue.name) end
  for _, place in ipairs(redis.call('SMEMBERS', parked)) do
    if string.match(place, '^.*|(.-)|.-$') == queue.name then count = count + redis.call('ZCARD', parked .. ':' .. place) end
  end
  return count
end

-- 7. How many workers died with a message is forgotten when it is answered.
local function forget_deaths(queue)
  local place = 'deaths ' .. queue.name
  local from = redis.call('HGET', sweep, place) or '0'
  if from == '0' and redis.call('EXISTS', queue.deaths) == 0 then return end
  local next, found = unpack(redis.call('HSCAN', queue.deaths, from, 'COUNT', BATCH))
  for i = 1, #found, 2 do
    if redis.call('HEXISTS', queue.bodies, found[i]) == 0 then redis.call('HDEL', queue.deaths, found[i]) end
  end
  redis.call('HSET', sweep, place, next)
end

local function tried_now(worker, id)
  for _, queue in ipairs(queues) do
    if redis.call('SISMEMBER', acks_prefix .. worker .. '.' .. queue.name, id) == 1 then return true end
  end
  return false
end

local problem = ''
local function try(action, ...)
  local fine, why = pcall(action, ...)
  if not fine then problem = type(why) == 'table' and why.err or tostring(why) end
  return fine
end

for _, queue in ipairs(queues) do
  try(move_stock_delays, queue)
  try(wake, queue)
  if beat then
    try(forget_old_letters, queue)
    try(forget_deaths, queue)
  end
end
if beat and silence > 0 then
  local ours = {}
  for _, worker in ipairs(redis.call('HKEYS', workers)) do
    ours[worker] = true
    local seen, told = tonumber(redis.call('ZSCORE', heartbeats, worker) or ''), told_of(worker)
    if not seen then
      -- The maintenance of a stock broker whose clock is ahead removes heartbeats: count the silence of this worker from now on.
      redis.call('ZADD', heartbeats, whole(now), worker)
    -- While the setting is being changed, workers have different ones: each is dead by its own, if that is the longer one.
    elseif seen <= now - math.max(silence, tonumber(told.silence_ms) or silence) then
      local all, had = true, { count = 0, names = {} }
      local alone = string.match(redis.call('HGET', suspects, worker) or '', '^%d+|.-|(.*)$')
      if alone and not tried_now(worker, alone) then alone = nil end
      for _, queue in ipairs(queues_of(told)) do all = try(give_back, worker, queue, had, alone) and all end
      if all then
        redis.call('HDEL', suspects, worker)
        redis.call('ZREM', heartbeats, worker)
        redis.call('HDEL', workers, worker)
        dead_workers[#dead_workers + 1] = { worker, had.count, had.names }
      end
    end
  end
  -- Stock workers may have other queues, which only another stock worker can take over.
  local gone = {}
  for _, stranger in ipairs(redis.call('ZRANGEBYSCORE', heartbeats, '-inf', whole(now - STRANGER_MS), 'LIMIT', 0, STRANGERS_AT_ONCE)) do
    local its = {}
    for _, queue in ipairs(queues) do
      its[#its + 1] = acks_prefix .. stranger .. '.' .. queue.name
      its[#its + 1] = acks_prefix .. stranger .. '.' .. queue.name .. '.DQ'
    end
    if not ours[stranger] then
      local all = true
      if redis.call('EXISTS', unpack(its)) > 0 then
        for _, queue in ipairs(queues) do all = try(give_back, stranger, queue, { count = 0, names = {} }) and all end
      end
      if all then gone[#gone + 1] = stranger end
    end
  end
  if #gone > 0 then redis.call('ZREM', heartbeats, unpack(gone)) end
end
local messages, astray = 0, {}
for _, queue in ipairs(queues) do
  local fine, count = pcall(redis.call, 'HLEN', queue.bodies)
  if fine then
    messages = messages + count
    if beat and count > 0 then
      try(function() if count > standing(queue) then astray[#astray + 1] = queue.name end end)
    end
  end
end
local on_hold = redis.call('HLEN', holds) + redis.call('SCARD', parked)
return { math.ceil(next_due or -1), moved, dead_workers, whole(now), problem, on_hold, messages, 0, astray }
