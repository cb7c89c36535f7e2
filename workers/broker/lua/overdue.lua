-- include: clock.lua
-- include: proof.lua
-- include: cancelled.lua
--
-- overdue.lua: deadlines pass also for messages that nobody has fetched. One worker at a time looks at what waits, a few messages in turn,
-- and brings forward what is overdue, or was cancelled; only its claim knows how it ends. Safe to repeat.
--
-- KEYS  1 sweep: hash (owner, until (ms), and for each place how far it was looked at)   2 parked   3 holds (see account.lua)
--       4 cancelled (see delivery's cancelled.lua)   then 4 for each queue: ready, bodies, delayed, forward
local sweep, parked, holds, cancelled = KEYS[1], KEYS[2], KEYS[3], KEYS[4]
-- ARGV  1 worker   2 ms that a message may wait unless it says otherwise   3 look at so many   4 ms: the longest that a job is ever put off
--       5... name of each queue
local me, patience, most, longest = ARGV[1], tonumber(ARGV[2]), tonumber(ARGV[3]), tonumber(ARGV[4])
-- Answers the ms after which to ask again, and how many were brought forward.

local OWNED_MS = 2000
local FORWARD_MS = 90 * 86400 * 1000
-- A longer message is not read: no job of the contract is so long, and reading it would hold up others.
local LONGEST_BODY = 65536
-- What is brought forward is due before all others, and is not looked at again.
local FIRST = 1


local owner, until_ms = unpack(redis.call('HMGET', sweep, 'owner', 'until'))
local left = (tonumber(until_ms) or 0) - now
if owner and owner ~= me and left > 0 and left <= OWNED_MS then return { left, 0 } end
redis.call('HSET', sweep, 'owner', me, 'until', whole(now + OWNED_MS))

local any_cancelled = redis.call('EXISTS', cancelled) == 1

-- When a message was enqueued, or when its delay ended, its deadline (ms), and whether it was cancelled; nil if it does not say so.
local function times_of(bodies, id)
  local size = redis.call('HSTRLEN', bodies, id)
  if size == 0 or size > LONGEST_BODY then return nil end
  local fine, message = pcall(cjson.decode, redis.call('HGET', bodies, id))
  if not fine or type(message) ~= 'table' then return nil end
  local sent = message.message_timestamp
  -- Python writes NaN as well, which is a number to Lua, is not itself, and can be no score.
  if type(sent) ~= 'number' or sent ~= sent then return nil end
  local since = sent
  local eta = type(message.options) == 'table' and message.options.eta
  if type(eta) == 'number' and eta > since then since = eta end
  local given = type(message.kwargs) == 'table' and message.kwargs or {}
  local own, marks = given.deadline_seconds, {}
  if any_cancelled then
    local id = tostring(message.message_id)
    -- Who has no batch is of none, also where one is called `nil`.
    local batch = type(given.batch_id) == 'string' and 'b:' .. given.batch_id or NOBODY
    marks = redis.call('HMGET', cancelled, 'm:' .. id, batch, 'u:' .. id)
  end
  -- What may have been carried out has been brought forward once; since then it waits for its look-up.
  local is_cancelled = (sent_before(marks[1], sent) or sent_before(marks[2], sent)) and not marks[3]
  return since, since + (type(own) == 'number' and own > 0 and own * 1000 or patience), is_cancelled
end

local places = {}
local queues = {}
for q = 5, #ARGV do
  local k = 4 + (q - 5) * 4
  local queue = { name = ARGV[q], ready = KEYS[k + 1], bodies = KEYS[k + 2], delayed = KEYS[k + 3], forward = KEYS[k + 4] }
  queues[queue.name] = queue
  places[#places + 1] = { name = 'ready ' .. queue.name, queue = queue, ids = function(from, count)
    return redis.call('LRANGE', queue.ready, from, from + count - 1)
  end, overdue = function(id)
    -- An id that is only in `forward` would be passed over and lost, one that is only in `delayed` be fetched twice.
    redis.call('ZADD', queue.delayed, 'XX', 0, NOBODY)
    -- Once: what was put off since then waits for its time.
    if redis.call('SADD', queue.forward, id) == 1 then redis.call('ZADD', queue.delayed, 'NX', FIRST, id) end
    redis.call('PEXPIRE', queue.forward, FORWARD_MS)
  end }
  places[#places + 1] = { name = 'due ' .. queue.name, queue = queue, ids = function(from, count)
    return redis.call('ZRANGEBYSCORE', queue.delayed, '(1', whole(now), 'LIMIT', from, count)
  end, overdue = function(id)
    redis.call('ZADD', queue.delayed, FIRST, id)
  end }
  -- What was put off by a clock that was ahead then, and is right again; and what was cancelled while it waits for its time.
  places[#places + 1] = { name = 'late ' .. queue.name, queue = queue, ids = function(from, count)
    return redis.call('ZRANGEBYSCORE', queue.delayed, whole(now + (any_cancelled and 0 or longest)), '+inf', 'LIMIT', from, count)
  end, early = function(id, since, is_cancelled)
    if is_cancelled then
      -- Whoever fetches it would put it off until then. What else of it has that name does not matter any more.
      local body = redis.call('HGET', queue.bodies, id)
      redis.call('HSET', queue.bodies, id, (string.gsub(body, '"eta"%s*:%s*[%d%.eE+]+', '"eta":0')))
    end
    local far = since <= now and tonumber(redis.call('ZSCORE', queue.delayed, id)) > now + longest
    if far or is_cancelled then redis.call('ZADD', queue.delayed, whole(math.min(since, now)), id) end
  end }
end
-- While the account is refused or paused, deadlines stand still.
for _, place in ipairs(redis.call('SMEMBERS', parked)) do
  local name, queue = string.match(place, '^(.*)|(.-)|.-$')
  -- What a stranger has put among the places names no hold.
  local text = name and redis.call('HGET', holds, name)
  local kind = text and cjson.decode(text).kind
  local stands = kind == 'refused' or kind == 'paused'
  if name and queues[queue] and (any_cancelled or not stands) then
    local key = parked .. ':' .. place
    places[#places + 1] = { name = 'parked ' .. place, queue = queues[queue], stands = stands, ids = function(from, count)
      return redis.call('ZRANGE', key, from, from + count - 1)
    end, overdue = function(id)
      redis.call('ZREM', key, NOBODY)
      redis.call('ZADD', queues[queue].delayed, FIRST, id)
      redis.call('ZREM', key, id)
    end }
  end
end

local forward, room = 0, most

-- Looks at so many messages of a place, from where it was looked at last. Returns how many there were.
local function look_at(place, count)
  local from = tonumber(redis.call('HGET', sweep, place.name) or '0')
  local ids = place.ids(from, count)
  local gone = 0
  for _, id in ipairs(ids) do
    local since, deadline, is_cancelled = times_of(place.queue.bodies, id)
    if since and place.early then
      place.early(id, since, is_cancelled)
    elseif since and (is_cancelled or (deadline <= now and not place.stands)) then
      place.overdue(id)
      forward = forward + 1
      if string.sub(place.name, 1, 5) ~= 'ready' then gone = gone + 1 end
    end
  end
  if #ids == 0 then
    if from > 0 then redis.call('HDEL', sweep, place.name) end
  else
    redis.call('HSET', sweep, place.name, from + #ids - gone)
  end
  room = room - #ids
  return #ids
end

-- What a place leaves of its share is for those that have more.
local open = places
while room > 0 and #open > 0 do
  local share, more = math.ceil(room / #open), {}
  for _, place in ipairs(open) do
    local count = math.min(share, room)
    if count > 0 and look_at(place, count) == count then more[#more + 1] = place end
  end
  open = more
end
return { 250, forward }
