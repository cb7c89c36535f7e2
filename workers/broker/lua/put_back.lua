-- include: clock.lua
--
-- put_back.lua: finds the strays among these messages, whose id is in no list and no set, and puts them back if asked to. Safe to repeat.
--
-- KEYS  1 ready: list of ids   2 bodies: hash id -> message   3 delayed: zset id -> due (ms)   4 parked (see account.lua)
--       5... sets of ids of this queue that workers have outstanding
local ready, bodies, delayed, parked = unpack(KEYS, 1, 4)
-- ARGV  1 '1' to put those back, in the order in which they were enqueued; '' to look   2 queue   3... ids
local puts, queue = ARGV[1] == '1', ARGV[2]
-- Answers the ids of the strays. The caller has read the whole list; an id that came to it since is near one of its ends.

local NEAR = 500
-- A longer message is not read, since that would hold up others: it is put back as if it were sent now.
local LONGEST_BODY = 65536


local places = {}
for _, place in ipairs(redis.call('SMEMBERS', parked)) do
  if string.match(place, '^.*|(.-)|.-$') == queue then places[#places + 1] = parked .. ':' .. place end
end

local function stands(id)
  if redis.call('ZSCORE', delayed, id) then return true end
  for i = 5, #KEYS do
    if redis.call('SISMEMBER', KEYS[i], id) == 1 then return true end
  end
  for _, place in ipairs(places) do
    if redis.call('ZSCORE', place, id) then return true end
  end
  return (redis.call('LPOS', ready, id, 'MAXLEN', NEAR) or redis.call('LPOS', ready, id, 'RANK', -1, 'MAXLEN', NEAR)) and true or false
end

local function sent_at(id)
  if redis.call('HSTRLEN', bodies, id) > LONGEST_BODY then return now end
  local fine, message = pcall(cjson.decode, redis.call('HGET', bodies, id))
  local at = fine and type(message) == 'table' and message.message_timestamp
  return type(at) == 'number' and at >= 0 and at < now and at or now
end

local astray = {}
for i = 3, #ARGV do
  local id = ARGV[i]
  if redis.call('HEXISTS', bodies, id) == 1 and not stands(id) then
    astray[#astray + 1] = id
    -- Should the id be somewhere all the same, and be answered from there, fetch.lua drops this one: a due id without a message.
    if puts then redis.call('ZADD', delayed, 'NX', string.format('%.0f', sent_at(id)), id) end
  end
end
return astray
