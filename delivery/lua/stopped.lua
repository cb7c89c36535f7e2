-- include: clock.lua
-- include: pauses.lua
-- include: account.lua
-- include: cancelled.lua
--
-- stopped.lua: was a job cancelled, did a hold begin, or did its deadline pass, while it read the listing before its call?
-- Changes nothing.
--
-- KEYS  1 holds: as account.lua has them   2 cancelled: as cancelled.lua has it   3 counts of its batch
local holds, cancelled, counts = unpack(KEYS)
-- ARGV  1 JSON: deadline (ms, the one that its claim returned), token, scope, call, about, cover (ms), secret, message, batch and sent, as
--       claim.lua has them
local job = cjson.decode(ARGV[1])
-- Answers 1 when the job must claim anew (claim.lua then says what becomes of it), else 0

if now >= job.deadline then return 1 end
local marks = redis.call('HMGET', cancelled, 'm:' .. job.message, 'b:' .. job.batch)
if sent_before(marks[1], job.sent) or batch_is_cancelled(marks[2], job.sent, counts) then return 1 end
for _, list in ipairs({ holds_of(holds, job.scope, job.call, job.secret) }) do
  for _, one in ipairs(list) do
    if waits_for(one.hold, job) then return 1 end
  end
end
return 0
