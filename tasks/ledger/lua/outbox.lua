-- arg: how many. What happened and is not in storage yet, the oldest first.
if wiped() then return 'wiped' end
return redis.call('LRANGE', prefix .. 'outbox', 0, arg[1] - 1)
