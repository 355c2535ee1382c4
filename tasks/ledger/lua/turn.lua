-- arg: worker, queue, ttl_ms. 1 when the worker may go on with this queue: one worker at a time turns to it, so that the
-- next one counts it.
if not redis.call('SET', prefix .. 'turning:' .. arg[2], arg[1], 'NX', 'PX', 2000) then return 0 end
draws_from(arg[1], arg[2], arg[3])
return 1
