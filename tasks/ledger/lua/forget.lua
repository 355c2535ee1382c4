-- arg: age of the end in ms, limit. Gives how many jobs were dropped.
if wiped() then return 'wiped' end
local old = redis.call('ZRANGEBYSCORE', prefix .. 'ended', '-inf', now - arg[1], 'LIMIT', 0, arg[2])
for _, id in ipairs(old) do
  redis.call('ZREM', prefix .. 'owner:' .. fields(id, 'owner'), id)
  redis.call('ZREM', prefix .. 'created', id)
  redis.call('ZREM', prefix .. 'ended', id)
  redis.call('DEL', job_key(id))
end
return #old
