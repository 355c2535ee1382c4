-- arg: ids. Gives their statuses in order, '' for unknown jobs.
local statuses = {}
for i, id in ipairs(arg) do
  statuses[i] = fields(id, 'status') or ''
end
return statuses
