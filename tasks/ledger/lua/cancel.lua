-- arg: id. Gives the hint to send, or {} when there is none.
if wiped() then return 'wiped' end
local id = arg[1]
local status, queue, lease = fields(id, 'status', 'queue', 'lease_ms')
if (status ~= 'queued' and status ~= 'running') or broken(id) then return {} end
set(id, 'cancel', 1)
if status == 'running' then
  if tonumber(lease) > now then return {} end
  lease_died(id)
  if fields(id, 'status') ~= 'queued' then return {} end
else
  leave(id)
  to_control(id, now)
end
return hint(id)
