-- arg: worker, ttl_ms, how many steps it runs at once, queues ... Gives how long the worker still rests in ms, and whether it is quarantined.
local serving, worker = prefix .. 'serving', arg[1]
for i = 4, #arg do
  redis.call('ZADD', serving, now + arg[2], arg[i] .. '|' .. worker)
end
if arg[3] ~= '1' and tonumber(arg[2]) > 0 then
  redis.call('HSET', prefix .. 'processes', worker, arg[3])
else
  redis.call('HDEL', prefix .. 'processes', worker)
end
redis.call('ZREMRANGEBYSCORE', serving, '-inf', now)
if redis.call('EXISTS', worker_key(worker)) == 1 then note(worker, 'seen_ms', now) end
return {standing(worker)}
