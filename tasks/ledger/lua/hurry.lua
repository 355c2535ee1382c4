-- arg: "<hook>|<notice>" of deliveries that are due now, with all their tries before them.
for k = 1, #arg do
  redis.call('ZADD', prefix .. 'deliveries', now, arg[k])
  redis.call('HDEL', prefix .. 'tries', arg[k])
end
return 'ok'
