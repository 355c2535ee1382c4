-- arg: limit. Gives jobs whose cost before the rebuild is not restored yet, in no order.
local ids = {}
for _, id in ipairs(redis.call('SRANDMEMBER', prefix .. 'uncosted', arg[1])) do
  if redis.call('EXISTS', job_key(id)) == 1 then
    ids[#ids + 1] = id
  else
    redis.call('SREM', prefix .. 'uncosted', id)
  end
end
return ids
