-- look.lua: counts the jobs in each place, all at one moment, so that a job that moves is counted once. Changes nothing, so that a full
-- Redis and a replica serve it.
--
-- KEYS  1 heartbeats   2 workers   3 parked (see tend.lua)   then 6 for each queue: ready, bodies, delayed, stock_delayed, dead, forward
-- ARGV  1 the namespace   2... name of each queue
-- Answers for each queue: ready, due, delayed, stock_delayed, dead, brought forward, parked, messages, how long ago (ms) its oldest
-- unanswered message was enqueued (-1: there is none that is due), then how many each worker has fetched: worker, number, worker ...

local heartbeats, workers, parked = KEYS[1], KEYS[2], KEYS[3]
local namespace = ARGV[1]

-- Of the stock brokers, which may have messages in hand, so many are looked at: those that were heard latest.
local STRANGERS = 1000
-- To find the oldest message, so many of those in a worker's hands are read, so many of those in `delayed` (where a retry is again and
-- again, however old it is), and so many bytes in all; a longer message is not read.
local LOOKED_AT, BYTES, LONGEST_BODY = 200, 2097152, 1048576

local clock = redis.call('TIME')
local now = tonumber(clock[1]) * 1000 + math.floor(tonumber(clock[2]) / 1000)
local bytes = 0

local holders, seen = {}, {}
for _, list in ipairs({ redis.call('HKEYS', workers), redis.call('ZREVRANGE', heartbeats, 0, STRANGERS - 1) }) do
  for _, worker in ipairs(list) do
    if not seen[worker] then holders[#holders + 1], seen[worker] = worker, true end
  end
end

local function age_of(bodies, id)
  local size = redis.call('HSTRLEN', bodies, id)
  if size == 0 or size > LONGEST_BODY or bytes + size > BYTES then return -1 end
  bytes = bytes + size
  local fine, message = pcall(cjson.decode, redis.call('HGET', bodies, id))
  local at = fine and type(message) == 'table' and message.message_timestamp
  local due = type(at) == 'number' and type(message.options) == 'table' and message.options.eta
  due = type(due) == 'number' and due or 0
  -- A message does not count while its producer's delay lasts.
  return type(at) == 'number' and due <= now and math.max(0, now - math.max(at, due)) or -1
end

local answer = {}
for q = 2, #ARGV do
  local k = 3 + (q - 2) * 6
  local ready, bodies, delayed, stock, dead, forward = unpack(KEYS, k + 1, k + 6)
  local oldest, waits, fetched = -1, 0, {}
  local function look_at(id) oldest = math.max(oldest, age_of(bodies, id)) end
  for _, place in ipairs(redis.call('SMEMBERS', parked)) do
    if string.match(place, '^.*|(.-)|.-$') == ARGV[q] then
      local key = parked .. ':' .. place
      waits = waits + redis.call('ZCARD', key)
      local first = redis.call('ZRANGE', key, 0, 0, 'WITHSCORES')
      if first[2] then oldest = math.max(oldest, now - tonumber(first[2])) end
    end
  end
  local head = redis.call('LINDEX', ready, 0)
  if head then look_at(head) end
  for _, id in ipairs(redis.call('ZRANGE', delayed, 0, LOOKED_AT - 1)) do look_at(id) end
  for _, worker in ipairs(holders) do
    local acks = namespace .. ':__acks__.' .. worker .. '.' .. ARGV[q]
    local count = redis.call('SCARD', acks)
    if count > 0 then
      fetched[#fetched + 1], fetched[#fetched + 2] = worker, count
      for _, id in ipairs(redis.call('SRANDMEMBER', acks, LOOKED_AT)) do look_at(id) end
    end
  end
  answer[#answer + 1] = { redis.call('LLEN', ready), redis.call('ZCOUNT', delayed, '-inf', now), redis.call('ZCARD', delayed),
    redis.call('LLEN', stock), redis.call('ZCARD', dead), redis.call('SCARD', forward), waits, redis.call('HLEN', bodies),
    math.floor(oldest), unpack(fetched) }
end
return answer
