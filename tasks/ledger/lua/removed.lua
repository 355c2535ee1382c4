-- arg: id
redis.call('DEL', prefix .. 'removing:' .. arg[1], prefix .. 'body:' .. arg[1])
return 'ok'
