-- arg: job. Whether its owner wants to be told when it ends.
local owner = fields(arg[1], 'owner')
return owner and redis.call('SISMEMBER', prefix .. 'hooked', owner) or 0
