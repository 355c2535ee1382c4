-- arg: id, step, worker, nonce. Gives {'claim', kind, snapshot, created, cancel, attempt, died, sha256, now, batch,
-- priority, price of a render in its batch ('' without one)} or the name of a refusal.
if wiped() then return 'wiped' end
local id, n, worker, nonce = unpack(arg)
local status, step, lease, owned_by = fields(id, 'status', 'step', 'lease_ms', 'nonce')
if not status or broken(id) then return 'UNKNOWN' end
if status ~= 'queued' and status ~= 'running' then return 'ENDED' end
if step ~= n then return 'STALE' end
if status == 'running' and owned_by ~= nonce then
  if tonumber(lease) > now then return 'LEASED' end
  lease_died(id)
  if fields(id, 'status') == 'failed' then return 'ENDED' end
end
if owned_by ~= nonce then -- otherwise the answer to this very call was lost
  local queue, why_not = fields(id, 'queue'), due(id)
  if why_not == 'PARKED' and fields(id, 'deferred') ~= '1' then
    leave(id)
    wait(id, queue, 0)
  end
  if why_not == 'PARKED' or why_not == 'EARLY' then return why_not end
  if queue ~= CONTROL then
    if not may_work(worker) then
      leave(id)
      wait(id, queue, 0) -- others are told soon
      return 'RESTING'
    end
    if why_not then return why_not end
    begin_probe(queue, id, nonce)
  end
  leave(id)
  redis.call('ZADD', prefix .. 'leased:' .. queue, now + lease_ttl, id)
  set(id, 'status', 'running', 'nonce', nonce, 'holder', worker, 'lease_ms', now + lease_ttl,
    'claimed_ms', now)
  redis.call('HINCRBY', job_key(id), 'attempts', 1)
end
local told = {'claim', fields(id, 'kind', 'snapshot', 'created_ms', 'cancel', 'attempts', 'died', 'snapshot_sha256')}
told[#told + 1] = string.format('%.0f', now)
local batch = fields(id, 'batch')
told[#told + 1] = batch or ''
told[#told + 1] = fields(id, 'priority')
told[#told + 1] = batch and redis.call('HGET', batch_key(batch), 'price') or ''
return told
