-- arg: ids. Storage lists these. Gives those that the ledger dropped meanwhile.
local gone = {}
for _, id in ipairs(arg) do
  if redis.call('ZREM', prefix .. 'unlisted', id) == 0 then gone[#gone + 1] = id end
end
return gone
