-- arg: an entry of the outbox, then "<hook>|<notice>" of each delivery that storage has of it.
redis.call('LREM', prefix .. 'outbox', 1, arg[1])
for k = 2, #arg do redis.call('ZADD', prefix .. 'deliveries', 'NX', now, arg[k]) end
return 'ok'
