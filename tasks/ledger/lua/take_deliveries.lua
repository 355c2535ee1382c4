-- arg: how many, lease ms, then hooks that are busy. Deliveries that are due, one of each hook: {hook|notice, tries so far}.
-- Each is leased to the caller: after that time it is due again.
local most, lease, taken, busy, passed = tonumber(arg[1]), tonumber(arg[2]), {}, {}, {}
for k = 3, #arg do busy[arg[k]] = true end
local seen_all = false
for first = 0, 900, 100 do
  local some = redis.call('ZRANGEBYSCORE', prefix .. 'deliveries', '-inf', now, 'LIMIT', first, 100)
  for _, delivery in ipairs(some) do
    local hook = string.match(delivery, '^[^|]*')
    if busy[hook] then
      passed[#passed + 1] = delivery
    elseif #taken < most then
      busy[hook] = true
      taken[#taken + 1] = {delivery, tonumber(redis.call('HGET', prefix .. 'tries', delivery) or 0)}
    end
  end
  seen_all = #some < 100 or #taken == most
  if seen_all then break end
end
for _, found in ipairs(taken) do redis.call('ZADD', prefix .. 'deliveries', now + lease, found[1]) end
if not seen_all then -- others may stand behind those of busy hooks, which step back
  for _, delivery in ipairs(passed) do redis.call('ZADD', prefix .. 'deliveries', now + 1, delivery) end
end
return taken
