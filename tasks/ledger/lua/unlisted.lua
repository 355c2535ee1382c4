-- arg: limit. Gives the records of jobs that ended and that storage does not list yet, the oldest first.
if wiped() then return 'wiped' end
local records = {}
for _, id in ipairs(redis.call('ZRANGE', prefix .. 'unlisted', 0, arg[1] - 1)) do
  if broken(id) then
    redis.call('ZREM', prefix .. 'unlisted', id)
  else
    records[#records + 1] = view(id)
  end
end
return records
