-- arg: worker, ttl_ms, queues ...
local serving = prefix .. 'serving'
for i = 3, #arg do
  redis.call('ZADD', serving, now + arg[2], arg[i] .. '|' .. arg[1])
end
redis.call('ZREMRANGEBYSCORE', serving, '-inf', now)
return 'ok'
