-- arg: batch. It has ended, unless something of it waits again. Gives its hash as a flat list, or {}.
if wiped() then return 'wiped' end
local batch = arg[1]
if redis.call('SISMEMBER', prefix .. 'closing', batch) == 0 then return {} end
if redis.call('HGET', batch_key(batch), 'ended_ms') == '0' then -- else it had ended before the ledger forgot it
  redis.call('HSET', batch_key(batch), 'ended_ms', now)
  tell_late(batch)
end
redis.call('ZREM', prefix .. 'deadlines', batch)
redis.call('ZREM', prefix .. 'windowed', batch)
redis.call('SREM', prefix .. 'paced', batch)
announce_progress(batch)
local retried, order = unpack(redis.call('HMGET', batch_key(batch), 'retried', 'order'))
announce(batch, 'ended', retried or order) -- one that an older version entered has no `retried`
return redis.call('HGETALL', batch_key(batch))
