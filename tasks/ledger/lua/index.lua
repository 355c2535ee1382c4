-- arg: cursor ('0' at first), how many about. Lists some jobs under labels and standing; of a ledger from before these lists, or
-- that an older program wrote to, they lack. Gives the cursor for the next call, '0' at the end.
if wiped() then return 'wiped' end
local cursor, rows = unpack(redis.call('ZSCAN', prefix .. 'created', arg[1], 'COUNT', arg[2]))
for i = 1, #rows, 2 do
  local id = rows[i]
  if not broken(id) then
    label(id)
    stand(id, (fields(id, 'status')))
  end
end
if cursor == '0' then redis.call('SET', prefix .. 'indexed', now) end
return cursor
