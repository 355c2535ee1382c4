-- arg: batch, first index, count. Gives the letters of its items from there on, and what takes: has of them ('' where none was tried
-- again).
if wiped() then return 'wiped' end
local batch, first, last = arg[1], tonumber(arg[2]), arg[2] + arg[3] - 1
return {
  redis.call('GETRANGE', states_key(batch), first, last),
  redis.call('GETRANGE', prefix .. 'takes:' .. batch, 4 * first, 4 * last + 3),
}
