-- Gives the batches of which all results are stored.
if wiped() then return 'wiped' end
return redis.call('SMEMBERS', prefix .. 'closing')
