-- include: proof.lua
--
-- revive.lua: turns a dead letter into a job again, under a new id. Safe to repeat: the second run finds no letter.
--
-- KEYS  1 dead: zset id -> died at (ms)   2 dead bodies: hash id -> message   3 dead reasons: hash id -> why
--       4 ready: list of ids   5 bodies: hash id -> message
-- ARGV  1 id of the letter   2 id of the new message   3 new message
-- Answers 1, or 0 when the letter is gone (retried, purged or too old).

local dead, dead_bodies, dead_reasons, ready, bodies = unpack(KEYS)
local letter, id, message = ARGV[1], ARGV[2], ARGV[3]

if redis.call('HEXISTS', dead_bodies, letter) == 0 then return 0 end
redis.call('ZREM', dead, NOBODY)
redis.call('HDEL', dead_reasons, NOBODY)
redis.call('HSET', bodies, id, message)
local pushed = redis.pcall('RPUSH', ready, id)
if type(pushed) == 'table' then
  -- The letter stays dead: the new message, whose id is in no list, must not be found as a stray and put back.
  redis.call('HDEL', bodies, id)
  return pushed
end
redis.call('ZREM', dead, letter)
redis.call('HDEL', dead_reasons, letter)
redis.call('HDEL', dead_bodies, letter)
return 1
