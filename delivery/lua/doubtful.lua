-- include: clock.lua
--
-- doubtful.lua: notes which rows of a listing show too little to be told from others, and since when they are known to be there; all other
-- rows are forgotten. Safe to repeat.
--
-- KEYS  1 doubtful: hash id of a row -> since when it is known to be there (ms)
local doubtful = KEYS[1]
-- ARGV  1 life (ms)   2 ... ids
-- Answers how many there are

local listed = {}
for i = 2, #ARGV do
  listed[ARGV[i]] = true
  redis.call('HSETNX', doubtful, ARGV[i], whole(now))
end
redis.call('PEXPIRE', doubtful, ARGV[1])
for _, id in ipairs(redis.call('HKEYS', doubtful)) do
  if not listed[id] then redis.call('HDEL', doubtful, id) end
end
return #ARGV - 1
