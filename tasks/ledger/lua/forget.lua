-- arg: age of the end in ms, limit. Gives how many jobs were dropped.
if wiped() then return 'wiped' end
local old = redis.call('ZRANGEBYSCORE', prefix .. 'ended', '-inf', now - arg[1], 'LIMIT', 0, arg[2])
for _, id in ipairs(old) do
  unlist(id)
  redis.call('DEL', job_key(id))
end
return #old
