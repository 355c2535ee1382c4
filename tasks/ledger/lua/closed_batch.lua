-- arg: batch. Its summary is stored; after a while the ledger forgets it.
if wiped() then return 'wiped' end
if redis.call('SREM', prefix .. 'closing', arg[1]) == 1 then
  redis.call('ZADD', prefix .. 'past', redis.call('HGET', batch_key(arg[1]), 'ended_ms'), arg[1])
end
return 'OK'
