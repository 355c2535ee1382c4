-- arg: batch, first index, letters ('' for all), limit, look. Gives {where the list goes on ('' at the end), then index, letter, take,
-- generation, job in the ledger ('') of each}.
if wiped() then return 'wiped' end
local batch, first, letters, limit, look = arg[1], tonumber(arg[2]), arg[3], tonumber(arg[4]), tonumber(arg[5])
local part = redis.call('GETRANGE', states_key(batch), first, first + look - 1)
local found = {#part == look and first + look or ''}
for at = 1, #part do
  local letter = string.sub(part, at, at)
  if letters == '' or string.find(letters, letter, 1, true) then
    local index = first + at - 1
    local take, generation = try_of(batch, index)
    found[#found + 1] = {index, letter, take, generation, redis.call('HGET', prefix .. 'children:' .. batch, index) or ''}
    if #found > limit then
      found[1] = at == #part and found[1] or index + 1
      break
    end
  end
end
return found
