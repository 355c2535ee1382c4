-- arg: id, last (1: there are no more), then nonce and cost of each attempt. What was counted since the rebuild is not
-- counted again. The nonces are kept for a day: an attempt that ran meanwhile may tell its cost after its record was read.
local id, last = unpack(arg)
if redis.call('SISMEMBER', prefix .. 'uncosted', id) == 0 or redis.call('EXISTS', job_key(id)) == 0 then return 'ok' end
for i = 3, #arg, 2 do
  if uncounted(id, arg[i]) then
    add_cost(id, arg[i + 1])
    spend_cost(id, arg[i + 1], false)
  end
end
if last == '1' then
  redis.call('SREM', prefix .. 'uncosted', id)
  redis.call('EXPIRE', prefix .. 'counted:' .. id, 86400)
end
return 'ok'
