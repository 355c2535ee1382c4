-- arg: owner, id, most, ttl_ms, sha256 of the body that asks for it ('' for none), ms that the id stands for that body.
-- 1 when the owner may have this job too, 0 when it has too many, -1 when another body was sent under this id.
if wiped() then return 'wiped' end
local owner, id, most, ttl, body, body_ttl = unpack(arg)
local active, sent = prefix .. 'active:' .. owner, prefix .. 'body:' .. id
if body ~= '' and (redis.call('GET', sent) or body) ~= body then return -1 end
redis.call('ZREMRANGEBYSCORE', active, '-inf', now)
if not redis.call('ZSCORE', active, id) then
  if redis.call('ZCARD', active) >= tonumber(most) then return 0 end
  redis.call('ZADD', active, now + ttl, id)
end
if body ~= '' then redis.call('SET', sent, body, 'PX', body_ttl) end
return 1
