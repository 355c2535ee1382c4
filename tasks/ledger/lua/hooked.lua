-- arg: 1 or 0, then owners. Whether they want to be told of each job that ends.
for k = 2, #arg do redis.call(arg[1] == '1' and 'SADD' or 'SREM', prefix .. 'hooked', arg[k]) end
return 'ok'
