-- arg: owner ('' for all), cursor: created and id, limit. Gives batches, the newest first: {id, its hash} each.
if wiped() then return 'wiped' end
local owner, created, id, limit = unpack(arg)
local index = prefix .. (owner == '' and 'batches' or 'batches:' .. owner)
local found = {}
local same = created == '' and 0 or redis.call('ZCOUNT', index, created, created)
local rows = redis.call('ZREVRANGEBYSCORE', index, created == '' and '+inf' or created, '-inf', 'WITHSCORES',
  'LIMIT', 0, limit + same)
for i = 1, #rows, 2 do
  if #found < tonumber(limit) and (created == '' or tonumber(rows[i + 1]) < tonumber(created) or rows[i] < id) then
    found[#found + 1] = {rows[i], redis.call('HGETALL', batch_key(rows[i]))}
  end
end
return found
