-- include: proof.lua
--
-- hand_back.lua: puts outstanding messages back at the head of their queue, in their old order. Safe to repeat.
--
-- KEYS  1 ready: list of ids   2 bodies: hash id -> message   3 acks: set of this worker's outstanding ids
--       4 epoch: the number that this consumer's fetches must have at least
-- ARGV  1 'others': give back all but the ids that follow (a lost answer left others behind); 'all': give back these, in this order, and
--       all others that are outstanding   2 number of the fetches to come: a fetch that was sent before takes nothing any more   3... ids
-- Answers how many went back.

local ready, bodies, acks, epoch = KEYS[1], KEYS[2], KEYS[3], KEYS[4]
local which, number = ARGV[1], ARGV[2]

-- Longer than any fetch can be under way.
local EPOCH_KEPT_MS = 86400000

local named, ids = {}, {}
for i = 3, #ARGV do
  named[ARGV[i]] = true
  if which == 'all' then ids[#ids + 1] = ARGV[i] end
end
for _, id in ipairs(redis.call('SMEMBERS', acks)) do
  if not named[id] then ids[#ids + 1] = id end
end
redis.call('SET', epoch, number, 'PX', EPOCH_KEPT_MS)
redis.call('SREM', acks, NOBODY)
local count = 0
for i = #ids, 1, -1 do
  if redis.call('SISMEMBER', acks, ids[i]) == 1 then
    if redis.call('HEXISTS', bodies, ids[i]) == 1 then
      redis.call('LPUSH', ready, ids[i])
      count = count + 1
    end
    redis.call('SREM', acks, ids[i])
  end
end
return count
