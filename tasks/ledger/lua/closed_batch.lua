-- arg: batch. Its summary is stored; after a while the ledger forgets it.
if wiped() then return 'wiped' end
if redis.call('SREM', prefix .. 'closing', arg[1]) == 1 then
  redis.call('ZADD', prefix .. 'past', now, arg[1])
end
return 'OK'
