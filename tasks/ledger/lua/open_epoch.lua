-- arg: holder, name of the new epoch, the server's replication id, 1 if storage lists jobs that ended before, 1 if batches.
-- 1 when it is open.
if redis.call('GET', prefix .. 'epoch') == arg[2] then return 1 end -- the answer was lost
if not wiped() or rebuilder() ~= arg[1] then return 0 end
redis.call('SET', prefix .. 'epoch', arg[2])
redis.call('SET', prefix .. 'server', arg[3])
redis.call('DEL', prefix .. 'rebuild')
if arg[4] == '1' then redis.call('SET', prefix .. 'older', 1) end
if arg[5] == '1' then redis.call('SET', prefix .. 'older_batches', 1) end
return 1
