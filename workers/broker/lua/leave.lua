-- include: proof.lua
--
-- leave.lua: removes a worker that has handed back everything, so that nobody takes it for dead.
--
-- KEYS  1 heartbeats: zset worker -> last seen (ms)   2 workers: hash worker -> JSON   3 suspects (see fetch.lua)
--       4... its acks sets
-- ARGV  1 worker
-- Answers 1, or 0 when something is still outstanding: then the worker stays, to be taken over.

local heartbeats, workers, suspects, worker = KEYS[1], KEYS[2], KEYS[3], ARGV[1]

for i = 4, #KEYS do
  if redis.call('SCARD', KEYS[i]) > 0 then return 0 end
end
redis.call('HDEL', workers, NOBODY)
redis.call('HDEL', suspects, worker)
redis.call('ZREM', heartbeats, worker)
redis.call('HDEL', workers, worker)
return 1
