-- include: proof.lua
--
-- tend.lua: keeps the queues in order; every worker runs it several times a second, whatever its jobs do. Safe to repeat.
--
-- KEYS  1 heartbeats: zset worker -> last seen (ms)   2 workers: hash worker -> JSON   3 holds   4 parked (see account.lua)
--       then 8 for each queue: ready, bodies, delayed, stock_delayed, stock_delayed_bodies, dead, dead_bodies, dead_reasons
-- ARGV  1 worker   2 its JSON, '' between heartbeats   3 ms of silence that mean death, 0 not to take over anything
--       4 ms that a dead letter is kept   5 prefix of acks keys   6 when this was sent, by Redis's clock (ms)
--       7 'wake' or 'all': of what is due, move one id to wake those who wait for the list, or everything
--       8 the latest due time that means anything (ms)   9... name of each queue
-- Answers ms until the next delayed message falls due (-1: none), the number of messages moved, the workers taken over (the id of each,
-- how many messages it had, and the message_ids of the first of them),
-- Redis's time (ms), what went wrong with a queue ('' if nothing): one whose key holds something else holds up no other; how many holds
-- and parking places there are; and how many messages there are.

local heartbeats, workers, holds, parked = KEYS[1], KEYS[2], KEYS[3], KEYS[4]
local me, about, silence, letters_kept, acks_prefix, sent_at = ARGV[1], ARGV[2], tonumber(ARGV[3]), tonumber(ARGV[4]), ARGV[5], tonumber(ARGV[6])
local all_due, latest = ARGV[7] == 'all', tonumber(ARGV[8])

local BATCH = 200
-- Lua hands on no more than some thousands of arguments.
local AT_ONCE = 1000
-- Of the messages of a dead worker so many are named; a longer one, which it takes time to read, by its Redis id.
local NAMED, LONGEST_READ = 100, 16384
local clock = redis.call('TIME')
local now = tonumber(clock[1]) * 1000 + math.floor(tonumber(clock[2]) / 1000)
local function whole(number) return string.format('%.0f', number) end

local beat = about ~= ''
-- A Redis that was frozen runs what was sent to it before, and finds everybody silent: then nobody is called dead.
if now - sent_at > silence / 2 then silence = 0 end
local moved, next_due, dead_workers = 0, -1, {}
local queues = {}
for q = 9, #ARGV do
  local k = 4 + (q - 9) * 8
  queues[#queues + 1] = { name = ARGV[q], ready = KEYS[k + 1], bodies = KEYS[k + 2], delayed = KEYS[k + 3], stock = KEYS[k + 4],
    stock_bodies = KEYS[k + 5], dead = KEYS[k + 6], dead_bodies = KEYS[k + 7], dead_reasons = KEYS[k + 8] }
end

-- 1. Heartbeat, before anything can go wrong. One from the future was left when the clock was set back, and would never be missed.
if beat then
  redis.call('ZADD', heartbeats, whole(now), me)
  redis.call('HSET', workers, me, about)
  for _, worker in ipairs(redis.call('ZRANGEBYSCORE', heartbeats, '(' .. whole(now), '+inf')) do
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

-- 2. What stock producers delayed moves to where delays live.
local function move_stock_delays(queue)
  local ids = redis.call('LRANGE', queue.stock, 0, BATCH - 1)
  if #ids == 0 then return end
  redis.call('LTRIM', queue.stock, 0, -1)
  redis.call('HDEL', queue.stock_bodies, NOBODY)
  local at_once = {}
  for _, id in ipairs(ids) do
    local body = redis.call('HGET', queue.stock_bodies, id)
    local due
    if body then
      local fine, message = pcall(cjson.decode, body)
      if fine and type(message) == 'table' and type(message.options) == 'table' and type(message.options.eta) == 'number' then
        due = message.options.eta
      end
      redis.call('HSET', queue.bodies, id, body)
    end
    -- Without a body or a due time that means anything it goes to the queue at once, where an unreadable entry is set aside.
    if due and due >= 0 and due <= latest then
      redis.call('ZADD', queue.delayed, whole(due), id)
    else
      at_once[#at_once + 1] = id
    end
  end
  -- All of them in one command, after all that may be repeated.
  if #at_once > 0 then redis.call('RPUSH', queue.ready, unpack(at_once)) end
  redis.call('LTRIM', queue.stock, #ids, -1)
  redis.call('HDEL', queue.stock_bodies, unpack(ids))
  moved = moved + #ids
end

-- 3. fetch.lua takes what is due by itself, in due order. But workers blocked on an empty list only wake when something is pushed. Push
--    the job that is due last: the woken worker fetches the earlier ones from `delayed` first. A worker that stops moves all that is
--    due, since it has just given up jobs and may have been the only one.
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
    if next_due < 0 or wait < next_due then next_due = wait end
  end
end

-- 4. Dead letters are kept for a while.
local function forget_old_letters(queue)
  local old = redis.call('ZRANGEBYSCORE', queue.dead, '-inf', whole(now - letters_kept), 'LIMIT', 0, BATCH)
  if #old > 0 then
    redis.call('HDEL', queue.dead_bodies, unpack(old))
    redis.call('HDEL', queue.dead_reasons, unpack(old))
    redis.call('ZREM', queue.dead, unpack(old))
  end
end

-- 5. What dead workers had outstanding goes back to its queues.
local function name_of(bodies, id)
  if redis.call('HSTRLEN', bodies, id) > LONGEST_READ then return id end
  local fine, message = pcall(cjson.decode, redis.call('HGET', bodies, id) or '')
  return fine and type(message) == 'table' and type(message.message_id) == 'string' and message.message_id or id
end

local function give_back(worker, queue, had)
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
      push_back(target[1], target[2], some)
      redis.call('SREM', acks, unpack(some))
    end
  end
end

-- Workers may beat at different paces while the setting is being changed: each is dead by its own, if that is the slower.
local function is_dead(worker)
  local fine, told = pcall(cjson.decode, redis.call('HGET', workers, worker) or '{}')
  local own = fine and type(told) == 'table' and tonumber(told.silence_ms) or 0
  return tonumber(redis.call('ZSCORE', heartbeats, worker)) <= now - math.max(silence, own)
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
  if beat then try(forget_old_letters, queue) end
end
if beat and silence > 0 then
  for _, worker in ipairs(redis.call('ZRANGEBYSCORE', heartbeats, '-inf', whole(now - silence))) do
    if is_dead(worker) then
      local all, had = true, { count = 0, names = {} }
      for _, queue in ipairs(queues) do all = try(give_back, worker, queue, had) and all end
      -- A stock worker may have other queues, which only another stock worker can take over.
      if all and redis.call('HEXISTS', workers, worker) == 1 then
        redis.call('HDEL', workers, NOBODY)
        redis.call('ZREM', heartbeats, worker)
        redis.call('HDEL', workers, worker)
        dead_workers[#dead_workers + 1] = { worker, had.count, had.names }
      end
    end
  end
end
local messages = 0
for _, queue in ipairs(queues) do
  local fine, count = pcall(redis.call, 'HLEN', queue.bodies)
  if fine and type(count) == 'number' then messages = messages + count end
end
local on_hold = redis.call('HLEN', holds) + redis.call('SCARD', parked)
return { math.ceil(next_due), moved, dead_workers, whole(now), problem, on_hold, messages }
