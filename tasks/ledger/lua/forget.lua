-- arg: age of the end in ms, limit. Gives how many jobs were dropped.
if wiped() then return 'wiped' end
local old = redis.call('ZRANGEBYSCORE', prefix .. 'ended', '-inf', now - arg[1], 'LIMIT', 0, arg[2])
for _, id in ipairs(old) do
  local owner = fields(id, 'owner') -- false when the record was evicted
  if owner then redis.call('ZREM', prefix .. 'owner:' .. owner, id) end
  redis.call('ZREM', prefix .. 'created', id)
  redis.call('ZREM', prefix .. 'ended', id)
  redis.call('DEL', job_key(id))
end
return #old
