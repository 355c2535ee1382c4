-- arg: owner. Gives {period, renders, gpu_ms, money} of his budget, '' for what is not known.
if wiped() then return 'wiped' end
local found = redis.call('HMGET', terms_key('owner', arg[1]), 'period', 'spent_renders', 'spent_gpu_ms', 'spent_money')
for i = 1, 4 do found[i] = found[i] or '' end
return found
