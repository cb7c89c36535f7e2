-- include: proof.lua
--
-- hand_back.lua: puts outstanding messages back at the head of their queue, in their old order. Safe to repeat.
--
-- KEYS  1 ready: list of ids   2 bodies: hash id -> message   3 acks: set of this worker's outstanding ids
-- ARGV  1 'these': give back the ids that follow; 'others': give back all but the ids that follow (what a lost answer left behind)
-- Answers how many went back.

local ready, bodies, acks = KEYS[1], KEYS[2], KEYS[3]
local which = ARGV[1]

local ids = {}
if which == 'these' then
  for i = 2, #ARGV do ids[#ids + 1] = ARGV[i] end
else
  local held = {}
  for i = 2, #ARGV do held[ARGV[i]] = true end
  for _, id in ipairs(redis.call('SMEMBERS', acks)) do
    if not held[id] then ids[#ids + 1] = id end
  end
end
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
