-- arg: id. 0 while somebody holds its lease; otherwise the job is dropped, whatever its status.
if wiped() then return 'wiped' end
local id = arg[1]
local status, lease = fields(id, 'status', 'lease_ms')
if status == 'running' and (tonumber(lease) or 0) > now then return 0 end
take_out(id)
redis.call('DEL', job_key(id))
return 1
