-- arg: limit. Look at what sleeps whether it may go on now; gives how many were looked at.
if wiped() then return 'wiped' end
local due_now = redis.call('ZRANGEBYSCORE', prefix .. 'asleep', '-inf', now, 'LIMIT', 0, arg[1])
for _, which in ipairs(due_now) do
  redis.call('ZREM', prefix .. 'asleep', which)
  if which == 'jobs' then
    unpark('jobs')
  elseif redis.call('EXISTS', batch_key(which)) == 1 then
    unpark(which) -- each that must not go on puts its batch to sleep again
    local waiting, deferred = unpack(redis.call('HMGET', batch_key(which), 'n_w', 'n_deferred'))
    if waiting + (deferred or 0) > 0 then join_lanes(which) end
  end
end
return #due_now
