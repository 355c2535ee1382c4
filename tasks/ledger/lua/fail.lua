-- arg: id, step, nonce, error, counts, delay_ms, cost
local id, n, nonce, why, counts, delay, cost = unpack(arg)
local step, owned_by, queue, cancel = fields(id, 'step', 'nonce', 'queue', 'cancel')
if not step then return 'REFUSED' end
charge(id, nonce, cost, true)
if nonce == '' or owned_by ~= nonce or step ~= n then return 'REFUSED' end
leave(id)
set(id, 'error', why, 'died', 0)
if cancel == '1' and queue ~= CONTROL then
  to_control(id, 0)
  return 'RETRY'
end
if counts == '1' and redis.call('HINCRBY', job_key(id), 'seat_failures', 1) >= seat_cap then
  bury(id, nonce)
  return 'DEAD'
end
wait(id, queue, 0)
if tonumber(delay) > 0 then
  redis.call('ZREM', prefix .. 'waiting:' .. queue, id)
  redis.call('ZADD', prefix .. 'delayed:' .. queue, now + delay, id)
  set(id, 'not_before_ms', now + delay)
end
return 'RETRY'
