-- include: clock.lua
-- include: pauses.lua
-- include: account.lua
--
-- stopped.lua: was a job cancelled, or did a hold begin, while it read the listing that comes before its call? Changes nothing.
--
-- KEYS  1 holds: as account.lua has them   2 cancelled: hash of marks
local holds, cancelled = KEYS[1], KEYS[2]
-- ARGV  1 JSON: token, scope, call, about, cover (ms), secret, message and batch, as claim.lua has them
local job = cjson.decode(ARGV[1])
-- Answers 1 when its next claim would not let it call, else 0

local marks = redis.call('HMGET', cancelled, 'm:' .. job.message, 'b:' .. job.batch)
if marks[1] or marks[2] then return 1 end
for _, list in ipairs({ holds_of(holds, job.scope, job.call, job.secret) }) do
  for _, one in ipairs(list) do
    if waits_for(one.hold, job) then return 1 end
  end
end
return 0
