-- arg: age in ms since it was closed, limit. Ended batches leave the ledger; gives how many.
if wiped() then return 'wiped' end
local old = redis.call('ZRANGEBYSCORE', prefix .. 'past', '-inf', now - arg[1], 'LIMIT', 0, arg[2])
for _, id in ipairs(old) do
  local owner = redis.call('HGET', batch_key(id), 'owner')
  if owner then
    for _, span in ipairs(spans_of(id)) do redis.call('DEL', first_key(id, span[1])) end
  end
  redis.call('DEL', batch_key(id), states_key(id), prefix .. 'takes:' .. id, prefix .. 'uncosted:' .. id)
  redis.call('ZREM', prefix .. 'past', id)
  redis.call('ZREM', prefix .. 'batches', id)
  if owner then redis.call('ZREM', prefix .. 'batches:' .. owner, id) end
end
if #old > 0 then redis.call('SET', prefix .. 'older_batches', 1) end
return #old
