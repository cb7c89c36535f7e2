-- include: clock.lua
-- include: batch.lua
--
-- size.lua: notes how many jobs a batch has, once all are enqueued; finishes the batch if all are answered already. Safe to repeat.
--
-- KEYS  1 batch (see batch.lua)   2 batches   3 events: stream
local batch, batches, events = KEYS[1], KEYS[2], KEYS[3]
-- ARGV  1 id   2 its digest   3 how many jobs; if more were counted while they were enqueued, those count   4 ms that the counts are
--       kept   5 the same, while the batch is not finished   6 maxlen of the events' stream
local id, digest, size, ttl_ms, life_ms, maxlen = ARGV[1], ARGV[2], tonumber(ARGV[3]), ARGV[4], ARGV[5], ARGV[6]
-- Answers 1

redis.call('HSETNX', batch, 'id', id)
local before = read_batch(batch)
-- Jobs of others under this id count too, if they are answered.
size = math.max(size, before.enqueued and tonumber(before.enqueued) + answered_for_others(before) or 0)
-- Of several sizes, the largest counts.
if size > (tonumber(before.size) or 0) then redis.call('HSET', batch, 'size', whole(size)) end
redis.call('PEXPIRE', batch, kept_for(before, size, ttl_ms, life_ms))
redis.call('ZADD', batches, whole(now), digest)
finish_batch(batch, events, maxlen, ttl_ms)
return 1
