-- include: clock.lua
--
-- doubtful.lua: these are the rows of a listing that show too little to be told from others; since when are they known to stand there?
-- Safe to repeat.
--
-- KEYS  1 doubtful: hash id of a row -> since when it is known to stand there (ms)
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
