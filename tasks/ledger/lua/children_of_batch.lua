-- arg: batch, first index, limit. Its jobs in the ledger from that index on, by index: where the list goes on ('' at the
-- end), then the records. They are few: those in flight, and those whose result is not stored yet.
if wiped() then return 'wiped' end
local first, limit = tonumber(arg[2]), tonumber(arg[3])
local flat, jobs, indices = redis.call('HGETALL', prefix .. 'children:' .. arg[1]), {}, {}
for i = 1, #flat, 2 do
  local index = tonumber(flat[i])
  if index >= first then
    jobs[index], indices[#indices + 1] = flat[i + 1], index
  end
end
table.sort(indices)
local found = {indices[limit + 1] or ''}
for i = 1, math.min(limit, #indices) do
  local id = jobs[indices[i]]
  if not broken(id) then found[#found + 1] = view(id) end
end
return found
