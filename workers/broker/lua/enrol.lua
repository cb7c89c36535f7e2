-- include: clock.lua
--
-- enrol.lua: may this worker take jobs under its pair of key names? If so, it is registered in the same step. Safe to repeat.
--
-- KEYS  1 prefix_of: which key prefix belongs to the namespace   2 namespace_of: which namespace belongs to the prefix
--       3 heartbeats: zset worker -> last seen (ms)   4 workers: hash worker -> JSON   5 format: the number of the form of what is stored
-- ARGV  1 namespace   2 prefix   3 a prefix, and 4 a namespace, whose pair was found dead and without work ('' for none)
--       5 worker   6 its JSON   7 its account   8 '1' when it starts
--       9 the oldest form that it reads   10 the newest
-- Answers  namespace, prefix    the namespace belongs to another prefix: look whether that pair lives
--          prefix, namespace    the prefix belongs to another namespace: look whether that pair lives
--          account, worker      a living worker of this pair works for another account
--          format, number       this release cannot read the form of the stored data
--          ok, number           the form in use

local prefix_of, namespace_of, heartbeats, workers, format = KEYS[1], KEYS[2], KEYS[3], KEYS[4], KEYS[5]
local namespace, prefix, dead_prefix, dead_namespace = ARGV[1], ARGV[2], ARGV[3], ARGV[4]
local me, about, account, starts = ARGV[5], ARGV[6], ARGV[7], ARGV[8] == '1'
local oldest, newest = tonumber(ARGV[9]), tonumber(ARGV[10])


-- Visits each other living worker of this pair, with its description.
local function each_living(visit)
  for _, worker in ipairs(redis.call('HKEYS', workers)) do
    local seen = tonumber(redis.call('ZSCORE', heartbeats, worker) or 0)
    local fine, told = pcall(cjson.decode, redis.call('HGET', workers, worker))
    told = fine and type(told) == 'table' and told or {}
    if worker ~= me and seen > now - (tonumber(told.silence_ms) or 0) then visit(worker, told) end
  end
end

local other = redis.call('GET', prefix_of)
if other and other ~= prefix and other ~= dead_prefix then return { 'namespace', other } end
other = redis.call('GET', namespace_of)
if other and other ~= namespace and other ~= dead_namespace then return { 'prefix', other } end

-- Checked only at a start: the worker that was here first goes on.
if starts then
  local stranger
  each_living(function(worker, told)
    if type(told.account) == 'string' and told.account ~= account then stranger = worker end
  end)
  if stranger then return { 'account', stranger } end
end

-- Data stored before forms had numbers has the first form.
local in_use = redis.call('GET', format) or '1'
local number = tonumber(in_use)
if not number or number < oldest or number > newest then return { 'format', in_use } end

redis.call('SET', prefix_of, prefix)
redis.call('SET', namespace_of, namespace)
redis.call('ZADD', heartbeats, whole(now), me)
-- After the start, heartbeats write a newer description than this one: do not overwrite it.
redis.call(starts and 'HSET' or 'HSETNX', workers, me, about)

-- The number rises when every living worker reads the new form. A worker that does not say what it reads, reads the first form.
if number < newest then
  local all_read_it = true
  each_living(function(_, told)
    local reads_it = false
    for _, form in ipairs(type(told.reads) == 'table' and told.reads or {}) do reads_it = reads_it or form == newest end
    all_read_it = all_read_it and reads_it
  end)
  if all_read_it then
    redis.call('SET', format, newest)
    number = newest
  end
end
return { 'ok', number }
