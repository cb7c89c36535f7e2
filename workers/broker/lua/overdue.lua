-- include: clock.lua
-- include: proof.lua
-- include: cancelled.lua
--
-- overdue.lua: brings forward messages that nobody has fetched and whose deadline passed, or that were cancelled; their claim decides how
-- they end. One worker at a time looks for them, at a few waiting messages in each turn. Safe to repeat.
--
-- KEYS  1 sweep: hash (owner, until (ms), and for each place how far it was looked at)   2 parked   3 holds (see account.lua)
--       4 cancelled (see delivery's cancelled.lua)   then 4 for each queue: ready, bodies, delayed, forward
local sweep, parked, holds, cancelled = KEYS[1], KEYS[2], KEYS[3], KEYS[4]
-- ARGV  1 worker   2 ms that a message may wait unless it says otherwise   3 how many to look at   4 ms that a job is put off at most
--       5... name of each queue
local me, patience, most, longest = ARGV[1], tonumber(ARGV[2]), tonumber(ARGV[3]), tonumber(ARGV[4])
-- Answers the ms after which to run this again, and how many messages were brought forward.

local OWNED_MS = 2000
local FORWARD_MS = 90 * 86400 * 1000
-- A longer message (a webhook with a large payload, say) is not looked at, since reading it would hold up others. Whoever fetches it sees
-- its deadline.
local LONGEST_BODY = 65536
-- The due time of messages that are brought forward: before all others. They are not looked at again.
local FIRST = 1


local owner, until_ms = unpack(redis.call('HMGET', sweep, 'owner', 'until'))
local left = (tonumber(until_ms) or 0) - now
if owner and owner ~= me and left > 0 and left <= OWNED_MS then return { left, 0 } end
redis.call('HSET', sweep, 'owner', me, 'until', whole(now + OWNED_MS))

local any_cancelled = redis.call('EXISTS', cancelled) == 1

-- Returns when a message was enqueued, or when its delay ended, its deadline (ms), and whether it was cancelled; nil if it cannot be read.
local function times_of(bodies, id)
  local size = redis.call('HSTRLEN', bodies, id)
  if size == 0 or size > LONGEST_BODY then return nil end
  local fine, message = pcall(cjson.decode, redis.call('HGET', bodies, id))
  if not fine or type(message) ~= 'table' then return nil end
  local sent = message.message_timestamp
  -- Python may write NaN: to Lua it is a number that does not equal itself, and Redis refuses it as a score.
  if type(sent) ~= 'number' or sent ~= sent then return nil end
  local since = sent
  local eta = type(message.options) == 'table' and message.options.eta
  if type(eta) == 'number' and eta > since then since = eta end
  local given = type(message.kwargs) == 'table' and message.kwargs or {}
  local own, marks = given.deadline_seconds, {}
  if any_cancelled then
    local id = tostring(message.message_id)
    -- A job without a batch must not match a batch that is called `nil`.
    local batch = type(given.batch_id) == 'string' and 'b:' .. given.batch_id or NOBODY
    marks = redis.call('HMGET', cancelled, 'm:' .. id, batch, 'u:' .. id)
  end
  -- A job that may have been carried out was brought forward once already; since then it waits to be read back.
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
    -- Try the ZADD first: an id that is in `forward` alone would be passed over and lost. An id that is in `delayed` alone would be fetched
    -- twice.
    redis.call('ZADD', queue.delayed, 'XX', 0, NOBODY)
    -- Only once: a message that was put off after this waits for its time.
    if redis.call('SADD', queue.forward, id) == 1 then redis.call('ZADD', queue.delayed, 'NX', FIRST, id) end
    redis.call('PEXPIRE', queue.forward, FORWARD_MS)
  end }
  places[#places + 1] = { name = 'due ' .. queue.name, queue = queue, ids = function(from, count)
    return redis.call('ZRANGEBYSCORE', queue.delayed, '(1', whole(now), 'LIMIT', from, count)
  end, overdue = function(id)
    redis.call('ZADD', queue.delayed, FIRST, id)
  end }
  -- Messages that were put off by a clock that was ahead then, and is right again; and cancelled messages that wait for their time.
  places[#places + 1] = { name = 'late ' .. queue.name, queue = queue, ids = function(from, count)
    return redis.call('ZRANGEBYSCORE', queue.delayed, whole(now + (any_cancelled and 0 or longest)), '+inf', 'LIMIT', from, count)
  end, early = function(id, since, is_cancelled)
    if is_cancelled then
      -- Set the eta to 0, or the worker that fetches the message puts it off again. An argument of that name does not matter any more.
      local body = redis.call('HGET', queue.bodies, id)
      redis.call('HSET', queue.bodies, id, (string.gsub(body, '"eta"%s*:%s*[%d%.eE+]+', '"eta":0')))
    end
    local far = since <= now and tonumber(redis.call('ZSCORE', queue.delayed, id)) > now + longest
    if far or is_cancelled then redis.call('ZADD', queue.delayed, whole(math.min(since, now)), id) end
  end }
end
-- While the account is refused or paused, deadlines stand still.
local parking = redis.call('SMEMBERS', parked)
for _, place in ipairs(parking) do
  local name, queue = string.match(place, '^(.*)|(.-)|.-$')
  -- A place that some other program has put there names no hold.
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

-- Once nothing is parked, forget how far parking places were looked at. Each hold, and each refused secret, has places of its own, and
-- the notes about those of holds that are over would pile up.
if #parking == 0 then
  for _, name in ipairs(redis.call('HKEYS', sweep)) do
    if string.sub(name, 1, 7) == 'parked ' then redis.call('HDEL', sweep, name) end
  end
end

local forward, room = 0, most

-- Looks at `count` messages of a place, from where the last look ended. Returns how many there were.
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

-- A place with fewer messages than its share leaves the rest to places that have more.
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
