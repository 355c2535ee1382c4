-- arg: batch. Its hash as a flat list, {} when it is not known.
if wiped() then return 'wiped' end
return redis.call('HGETALL', batch_key(arg[1]))
