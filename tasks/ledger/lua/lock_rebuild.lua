-- arg: holder, ttl_ms. 1 when the lock is the holder's.
if not wiped() then return 0 end
local holder = rebuilder()
if holder and holder ~= arg[1] then return 0 end
redis.call('HSET', prefix .. 'rebuild', 'holder', arg[1], 'until', now + arg[2])
return 1
