-- arg: worker, ttl_ms, queues ... Gives how long the worker still rests in ms, and whether it is quarantined.
local serving, worker = prefix .. 'serving', arg[1]
for i = 3, #arg do
  redis.call('ZADD', serving, now + arg[2], arg[i] .. '|' .. worker)
end
redis.call('ZREMRANGEBYSCORE', serving, '-inf', now)
if redis.call('EXISTS', worker_key(worker)) == 1 then note(worker, 'seen_ms', now) end
return {standing(worker)}
