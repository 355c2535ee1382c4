-- arg: limit. Gives the batches whose deadline has passed since they were asked for last: each is told once.
if wiped() then return 'wiped' end
local late = {}
for _, batch in ipairs(redis.call('ZRANGEBYSCORE', prefix .. 'deadlines', '-inf', now - 1, 'LIMIT', 0, arg[1])) do
  redis.call('ZREM', prefix .. 'deadlines', batch)
  if redis.call('HGET', batch_key(batch), 'ended_ms') == '0' and tell_late(batch) then late[#late + 1] = batch end
end
return late
