-- Gives {queue, waiting, leased, delayed, unhinted, age in ms of the oldest hint} for each queue; a delayed job whose
-- time has come counts as waiting and unhinted. The jobs of a held queue wait for no hint.
local depths = {}
for i, queue in ipairs(redis.call('SMEMBERS', prefix .. 'queues')) do
  local jobs = prefix .. 'waiting:' .. queue
  local due = redis.call('ZCOUNT', prefix .. 'delayed:' .. queue, '-inf', now)
  local delayed = redis.call('ZCARD', prefix .. 'delayed:' .. queue) - due
  local waiting = redis.call('ZCARD', jobs) + due
  local unhinted = redis.call('ZCOUNT', jobs, 0, 0) + due
  if is_held(queue) then unhinted = 0 end
  local oldest = redis.call('ZRANGEBYSCORE', jobs, '(0', '+inf', 'WITHSCORES', 'LIMIT', 0, 1)[2]
  local age = oldest and math.max(0, now - oldest) or 0
  depths[i] = {queue, waiting, redis.call('ZCARD', prefix .. 'leased:' .. queue), delayed, unhinted, age}
end
return depths
