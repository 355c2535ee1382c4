-- arg: holder, ttl_ms. 1 when the lock is the holder's.
if not wiped() then return 0 end
local lock = prefix .. 'rebuild'
local holder = redis.call('GET', lock)
if holder and holder ~= arg[1] then return 0 end
redis.call('SET', lock, arg[1], 'PX', arg[2])
return 1
