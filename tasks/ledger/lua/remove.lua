-- arg: id, ttl_ms. 0 when the job is active; otherwise it is dropped, and can't be created for a while.
if wiped() then return 'wiped' end
local id, ttl = unpack(arg)
if redis.call('EXISTS', job_key(id)) == 1 then broken(id) end
local status = fields(id, 'status')
if status == 'queued' or status == 'running' or redis.call('ZSCORE', prefix .. 'unreported', id) then return 0 end
if status then
  unlist(id)
  redis.call('DEL', job_key(id))
end
redis.call('HDEL', prefix .. 'broken', id)
redis.call('SET', prefix .. 'removing:' .. id, now + ttl, 'PX', ttl)
return 1
