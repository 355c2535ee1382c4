-- arg: id. Gives the hint to send, or {} when the job is no dead letter.
if wiped() then return 'wiped' end
local id = arg[1]
local status, queue = fields(id, 'status', 'queue')
if status ~= 'failed' or queue == '' or broken(id) then return {} end
redis.call('SREM', prefix .. 'unfiled', id)
redis.call('SREM', prefix .. 'dead', id)
reset_counters(id)
set(id, 'letter', '', 'error', '', 'ended_ms', 0)
activate(id)
child_starts(id)
enter(id)
wait(id, queue, now)
return hint(id)
