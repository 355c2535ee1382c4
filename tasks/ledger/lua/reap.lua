-- arg: most jobs a queue. Gives the records of the jobs whose lease had run out.
if wiped() then return 'wiped' end
local records = {}
for _, queue in ipairs(redis.call('SMEMBERS', prefix .. 'queues')) do
  local dead = redis.call('ZRANGEBYSCORE', prefix .. 'leased:' .. queue, '-inf', now, 'LIMIT', 0, arg[1])
  for _, id in ipairs(dead) do
    if not broken(id) then
      lease_died(id)
      records[#records + 1] = view(id)
    end
  end
end
return records
