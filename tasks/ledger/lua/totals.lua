-- arg: owner ('' for all). Gives how many jobs stand where, in the order of STANDINGS; nothing while the lists are incomplete.
if wiped() then return 'wiped' end
if redis.call('EXISTS', prefix .. 'indexed') == 0 then return {} end
local numbers = {}
for i, standing in ipairs(STANDINGS) do numbers[i] = redis.call('ZCARD', standing_key(standing, arg[1])) end
return numbers
