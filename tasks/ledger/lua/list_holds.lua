-- Gives for each held queue its name, how many jobs wait, and its hash as a flat list.
local found = {}
for i, queue in ipairs(redis.call('SMEMBERS', prefix .. 'holds')) do
  local waiting = redis.call('ZCARD', prefix .. 'waiting:' .. queue)
  found[i] = {queue, waiting, redis.call('HGETALL', hold_key(queue))}
end
return found
