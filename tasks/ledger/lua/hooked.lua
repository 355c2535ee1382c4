-- arg: 1 or 0 (or '' to ask only), then owners. Whether each wants to be told of jobs that end, as it was before.
local before = {}
for k = 2, #arg do
  before[#before + 1] = redis.call('SISMEMBER', prefix .. 'hooked', arg[k])
  if arg[1] ~= '' then redis.call(arg[1] == '1' and 'SADD' or 'SREM', prefix .. 'hooked', arg[k]) end
end
return before
