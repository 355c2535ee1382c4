-- arg: most. Items whose pick nobody turned into a job in time wait again; gives how many.
if wiped() then return 'wiped' end
local lapsed = redis.call('ZRANGEBYSCORE', prefix .. 'admitting', '-inf', now, 'LIMIT', 0, arg[1])
for _, member in ipairs(lapsed) do
  local lane, batch, index, take = string.match(member, '^(.-)|(.-)|(.-)|(.-)$')
  put_back(lane, batch, index, take)
end
return #lapsed
