-- arg: limit. Gives the records of dead letters that are not filed yet.
if wiped() then return 'wiped' end
local records = {}
for i, id in ipairs(redis.call('SRANDMEMBER', prefix .. 'unfiled', arg[1])) do
  records[i] = view(id)
end
return records
