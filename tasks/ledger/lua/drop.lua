-- arg: id. 0 while somebody holds its lease; otherwise the job is dropped, whatever its status.
if wiped() then return 'wiped' end
local id = arg[1]
local status, lease = fields(id, 'status', 'lease_ms')
if status == 'running' and (tonumber(lease) or 0) > now then return 0 end
local batch, index, model = fields(id, 'batch', 'item', 'model')
take_out(id)
if batch then
  if turn(batch, index, 'k') == 'f' then redis.call('HINCRBY', prefix .. 'flying', model, -1) end
  may_close(batch)
end
redis.call('DEL', job_key(id))
return 1
