-- arg: owner, id, most, ttl_ms. 1 when the owner may have this job too.
if wiped() then return 'wiped' end
local owner, id, most, ttl = unpack(arg)
local active = prefix .. 'active:' .. owner
redis.call('ZREMRANGEBYSCORE', active, '-inf', now)
if redis.call('ZSCORE', active, id) then return 1 end
if redis.call('ZCARD', active) >= tonumber(most) then return 0 end
redis.call('ZADD', active, now + ttl, id)
return 1
