-- arg: batch, windows (by lines), opens. The instants of its windows, unless it has other windows by now.
if wiped() then return 'wiped' end
local batch, windows, opens = unpack(arg)
if redis.call('HGET', batch_key(batch), 'windows') ~= windows then return 0 end
redis.call('HSET', batch_key(batch), 'opens', opens)
watch_over(batch)
return 1
