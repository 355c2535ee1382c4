-- arg: what settings say of owners and models, as JSON: {"owner:<name>": {field: value, ...}, ...}, all of them. Fields that begin
-- with spent_ are what storage knows of a period; they count where the ledger knows less.
local rules = cjson.decode(arg[1])
for _, name in ipairs(redis.call('SMEMBERS', prefix .. 'ruled')) do
  if not rules[name] then
    redis.call('DEL', prefix .. 'terms:' .. name)
    redis.call('SREM', prefix .. 'ruled', name)
  end
end
for name, terms in pairs(rules) do
  local key = prefix .. 'terms:' .. name
  local known = redis.call('HMGET', key, 'period', 'spent_renders', 'spent_gpu_ms', 'spent_money')
  redis.call('DEL', key)
  redis.call('SADD', prefix .. 'ruled', name)
  for field, value in pairs(terms) do redis.call('HSET', key, field, value) end
  if known[1] and known[1] == terms.period then
    for i, unit in ipairs(UNITS) do 
      local spent = math.max(tonumber(known[i + 1] or 0), tonumber(terms['spent_' .. unit] or 0))
      redis.call('HSET', key, 'spent_' .. unit, string.format('%.0f', spent))
    end
  end
end
return 'ok'
