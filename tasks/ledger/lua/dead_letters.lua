-- arg: limit. Gives the records of dead letters that are not filed yet.
if wiped() then return 'wiped' end
local records = {}
for _, id in ipairs(redis.call('SRANDMEMBER', prefix .. 'unfiled', arg[1])) do
  if not broken(id) then records[#records + 1] = view(id) end
end
return records
