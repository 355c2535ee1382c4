-- Gives {queue, waiting, leased, delayed} for each queue; a delayed job whose time has come counts as waiting.
local depths = {}
for i, queue in ipairs(redis.call('SMEMBERS', prefix .. 'queues')) do
  local due = redis.call('ZCOUNT', prefix .. 'delayed:' .. queue, '-inf', now)
  local delayed = redis.call('ZCARD', prefix .. 'delayed:' .. queue) - due
  local waiting = redis.call('ZCARD', prefix .. 'waiting:' .. queue) + due
  depths[i] = {queue, waiting, redis.call('ZCARD', prefix .. 'leased:' .. queue), delayed}
end
return depths
