-- arg: id
local found = view(arg[1])
if #found == 0 and wiped() then return 'wiped' end
return found
