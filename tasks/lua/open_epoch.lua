-- arg: holder, name of the new epoch. 1 when it is open.
if redis.call('GET', prefix .. 'rebuild') ~= arg[1] then return 0 end
redis.call('SET', prefix .. 'epoch', arg[2])
redis.call('DEL', prefix .. 'rebuild')
return 1
