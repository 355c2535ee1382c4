-- arg: batch, price, pace. What a render of its next items must promise, in goals, and what was measured for it.
if wiped() then return 'wiped' end
local batch, price, pace = unpack(arg)
if redis.call('SISMEMBER', prefix .. 'paced', batch) == 1 then
  redis.call('HSET', batch_key(batch), 'price', price, 'pace', pace)
end
return 'OK'
