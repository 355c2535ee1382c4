-- arg: the server's replication id. Every job was compared with storage since the server got it.
redis.call('SET', prefix .. 'server', arg[1])
return 'ok'
