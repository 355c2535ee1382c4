-- arg: id. Gives a number for an order: of two orders of a job the later one has the higher number, also after a wipe.
if wiped() then return 'wiped' end
local id = arg[1]
if redis.call('EXISTS', job_key(id)) == 0 then return 0 end
local number = string.format('%.0f', math.max(now, (tonumber(fields(id, 'order')) or 0) + 1))
set(id, 'order', number)
return number
