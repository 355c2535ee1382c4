-- arg: "<hook>|<notice>", ms until it is to be tried again; '' when the delivery has ended; then what went wrong ('': nothing).
if arg[2] == '' then
  redis.call('ZREM', prefix .. 'deliveries', arg[1])
  redis.call('HDEL', prefix .. 'tries', arg[1])
elseif redis.call('ZSCORE', prefix .. 'deliveries', arg[1]) then
  redis.call('ZADD', prefix .. 'deliveries', now + arg[2], arg[1])
  redis.call('HINCRBY', prefix .. 'tries', arg[1], 1)
end
if (arg[3] or '') ~= '' then
  local month = 30 * 86400000
  redis.call('SET', prefix .. 'failure:' .. string.match(arg[1], '^[^|]*'), now .. '|' .. arg[3], 'PX', month)
end
return 'ok'
