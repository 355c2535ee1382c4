-- arg: id, step, nonce, error, actor, worker, retry_after_ms, delay_ms, cost
local id, n, nonce, why, actor, worker, retry_after, delay, cost = unpack(arg)
local step, owned_by, queue, cancel = fields(id, 'step', 'nonce', 'queue', 'cancel')
if not step then return 'REFUSED' end
charge(id, nonce, cost, true)
if nonce == '' or owned_by ~= nonce or step ~= n then return 'REFUSED' end
leave(id)
measure(id, queue, false)
set(id, 'error', why, 'died', 0)
local verdict = blame(id, queue, worker, nonce, why, actor, tonumber(retry_after))
if cancel == '1' and queue ~= CONTROL then
  to_control(id, 0)
  return 'RETRY'
end
if verdict == 'charge' and redis.call('HINCRBY', job_key(id), 'seat_failures', 1) >= seat_cap then
  bury(id, nonce)
  return 'DEAD'
end
-- On a held queue the job that failed goes behind the others, so that each may be the next probe.
wait(id, queue, verdict == 'held' and now or 0)
if tonumber(delay) > 0 and (verdict == 'charge' or verdict == 'later') then
  redis.call('ZREM', prefix .. 'waiting:' .. queue, id)
  redis.call('ZADD', prefix .. 'delayed:' .. queue, now + delay, id)
  set(id, 'not_before_ms', now + delay)
end
return 'RETRY'
