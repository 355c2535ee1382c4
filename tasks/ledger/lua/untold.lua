-- arg: hook, then notices that wait for it. {ms of the next try ('': none is scheduled), how many failed before, ms and words
-- of the hook's last failure ('|' between them; '': none is known)}
local first, failed = '', 0
for k = 2, #arg do
  local delivery = arg[1] .. '|' .. arg[k]
  local due = redis.call('ZSCORE', prefix .. 'deliveries', delivery)
  if due and (first == '' or tonumber(due) < tonumber(first)) then first = due end
  if redis.call('HEXISTS', prefix .. 'tries', delivery) == 1 then failed = failed + 1 end
end
return {first, failed, redis.call('GET', prefix .. 'failure:' .. arg[1]) or ''}
