-- Gives the quarantined workers that are to try now, each until its next time.
local due = {}
for _, worker in ipairs(redis.call('SMEMBERS', prefix .. 'sick')) do
  local key = worker_key(worker)
  local quarantined, at, sent, manual = unpack(redis.call('HMGET', key, 'quarantined_ms', 'canary_ms', 'canaries', 'manual'))
  if quarantined and not manual and tonumber(at) <= now then
    sent = sent + 1
    redis.call('HSET', key, 'canaries', sent, 'canary_ms', now + canary_ms * CANARIES[math.min(sent + 1, #CANARIES)])
    due[#due + 1] = worker
  end
end
return due
