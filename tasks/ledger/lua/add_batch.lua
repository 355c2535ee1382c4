-- arg: mode (create, or restore by the holder of the rebuild lock), holder, id, owner, title, labels, priority, created_ms,
-- spans, total, most, weight, state, order, ended_ms (0: it has not), late_ms (the same), retried, states ('' when all items
-- wait), takes, cost, spent (JSON: [[model, renders, gpu_ms], ...]), first (JSON: items that go before the others), fields of
-- its terms and values ... Gives created, present or unlocked.
local mode, holder, id, owner, title, labels, priority, created, spans, total, most, weight, state, order, ended, late, retried,
  states, takes, cost, spent, first = unpack(arg)
if mode == 'create' then
  if wiped() then return 'wiped' end
elseif not wiped() or rebuilder() ~= holder then
  return 'unlocked'
end
if redis.call('EXISTS', batch_key(id)) == 1 then return 'present' end
redis.call('HSET', batch_key(id), 'owner', owner, 'title', title, 'labels', labels, 'priority', priority,
  'created_ms', created, 'spans', spans, 'total', total, 'most', most, 'weight', weight, 'state', state, 'order', order,
  'retried', retried, 'ended_ms', ended)
if late ~= '0' then redis.call('HSET', batch_key(id), 'late_ms', late) end
if states == '' then states = string.rep('w', tonumber(total)) end
redis.call('SET', states_key(id), states)
if takes ~= '' then redis.call('SET', prefix .. 'takes:' .. id, takes) end
for letter in string.gmatch('wpfduxck', '.') do
  local _, count = string.gsub(states, letter, '')
  redis.call('HSET', batch_key(id), 'n_' .. letter, count)
end
for k, span in ipairs(cjson.decode(spans)) do redis.call('HSET', batch_key(id), 'cursor:' .. k, span[2]) end
for name, amount in pairs(cjson.decode(cost)) do redis.call('HSET', batch_key(id), 'cost_' .. name, amount) end
for _, each in ipairs(cjson.decode(spent)) do
  local model, renders, gpu_ms = unpack(each)
  count_spent(batch_key(id), renders, gpu_ms, money_of(model, renders, gpu_ms))
end
put_first(id, cjson.decode(first), 0)
set_terms(id, 23)
redis.call('ZADD', prefix .. 'batches', created, id)
redis.call('ZADD', prefix .. 'batches:' .. owner, created, id)
join_lanes(id)
may_close(id)
if mode == 'restore' then announce_progress(id) end
return 'created'
