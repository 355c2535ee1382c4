-- arg: name, holder, ttl ms. 1 for one holder at a time.
local key = prefix .. 'lock:' .. arg[1]
if redis.call('GET', key) == arg[2] then return redis.call('PEXPIRE', key, arg[3]) end
return redis.call('SET', key, arg[2], 'NX', 'PX', arg[3]) and 1 or 0
