-- arg: owner ('' for all), limit
if wiped() then return 'wiped' end
local index = arg[1] == '' and 'created' or 'owner:' .. arg[1]
local records = {}
for i, id in ipairs(redis.call('ZREVRANGE', prefix .. index, 0, arg[2] - 1)) do
  records[i] = view(id)
end
return records
