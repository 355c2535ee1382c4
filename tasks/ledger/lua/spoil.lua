-- arg: lane, batch, index, take. No job can be made of this item.
if wiped() then return 'wiped' end
local lane, batch, index, take = unpack(arg)
drop_pick(lane, batch, index, take)
if letter_of(batch, index) == 'p' then turn(batch, index, 'x') end
may_close(batch)
return 'OK'
