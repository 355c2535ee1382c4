-- arg: id, dead letter. A job that was requeued and failed again has another one, which is still to be filed.
if fields(arg[1], 'letter') == arg[2] then
  redis.call('SREM', prefix .. 'unfiled', arg[1])
end
return 'ok'
