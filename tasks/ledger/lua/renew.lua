-- arg: id, step, nonce
local id, n, nonce = unpack(arg)
local step, owned_by, queue, cancel = fields(id, 'step', 'nonce', 'queue', 'cancel')
if not step then return 'UNKNOWN' end
if nonce == '' or owned_by ~= nonce or step ~= n then return 'LOST' end
redis.call('ZADD', prefix .. 'leased:' .. queue, now + lease_ttl, id)
set(id, 'lease_ms', now + lease_ttl)
return cancel == '1' and 'CANCEL' or 'FINE'
