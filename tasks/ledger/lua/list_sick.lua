-- Gives the name and the hash of each worker that is noted, and forgets those whose note lapsed.
local found = {}
for _, worker in ipairs(redis.call('SMEMBERS', prefix .. 'sick')) do
  local flat = redis.call('HGETALL', worker_key(worker))
  if #flat == 0 then
    redis.call('SREM', prefix .. 'sick', worker)
  else
    found[#found + 1] = {worker, flat}
  end
end
return found
