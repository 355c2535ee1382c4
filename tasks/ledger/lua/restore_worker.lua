-- arg: worker. 1 when something was noted about it.
local noted = redis.call('EXISTS', worker_key(arg[1]))
forget_sickness(arg[1])
return noted
