-- Gives the jobs whose record was set aside and that were not entered again.
local ids = {}
for _, id in ipairs(redis.call('HKEYS', prefix .. 'broken')) do
  if redis.call('EXISTS', job_key(id)) == 1 then
    redis.call('HDEL', prefix .. 'broken', id)
  else
    ids[#ids + 1] = id
  end
end
return ids
