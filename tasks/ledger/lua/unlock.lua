-- arg: name, holder.
local key = prefix .. 'lock:' .. arg[1]
if redis.call('GET', key) == arg[2] then redis.call('DEL', key) end
return 'OK'
