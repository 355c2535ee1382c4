-- arg: how many, lease ms, then hooks that are busy. Deliveries that are due, one of each hook: {hook|notice, tries so far}.
-- Each is leased to the caller: after that time it is due again.
local most, lease, taken, busy = tonumber(arg[1]), tonumber(arg[2]), {}, {}
for k = 3, #arg do busy[arg[k]] = true end
for first = 0, 900, 100 do
  local some = redis.call('ZRANGEBYSCORE', prefix .. 'deliveries', '-inf', now, 'LIMIT', first, 100)
  for _, delivery in ipairs(some) do
    local hook = string.match(delivery, '^[^|]*')
    if #taken < most and not busy[hook] then
      busy[hook] = true
      taken[#taken + 1] = {delivery, tonumber(redis.call('HGET', prefix .. 'tries', delivery) or 0)}
    end
  end
  if #some < 100 or #taken == most then break end
end
for _, found in ipairs(taken) do redis.call('ZADD', prefix .. 'deliveries', now + lease, found[1]) end
return taken
