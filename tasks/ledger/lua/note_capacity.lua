-- Note how many processes serve each queue now, where that has changed. A worker in quarantine serves none.
if wiped() then return 'wiped' end
local counts = {}
for _, queue in ipairs(redis.call('SMEMBERS', prefix .. 'queues')) do counts[queue] = 0 end
for _, member in ipairs(redis.call('ZRANGEBYSCORE', prefix .. 'serving', '(' .. string.format('%.0f', now), '+inf')) do
  local queue, worker = string.match(member, '^(.-)|(.*)$')
  local out = redis.call('HGET', worker_key(worker), 'quarantined_ms')
  if not out or out == '0' then
    counts[queue] = (counts[queue] or 0) + tonumber(redis.call('HGET', prefix .. 'processes', worker) or 1)
  end
end
for queue, count in pairs(counts) do
  local key = prefix .. 'capacity:' .. queue
  if redis.call('EXISTS', prefix .. 'hold:' .. queue) == 1 then count = 0 end
  local last = string.match(redis.call('LINDEX', key, -1) or '', '|(%d+)$')
  if queue ~= CONTROL and last ~= tostring(count) and (last or count > 0) then
    redis.call('RPUSH', key, string.format('%.0f|%d', now, count))
    redis.call('LTRIM', key, -500, -1)
    redis.call('EXPIRE', key, 30 * 86400)
  end
end
return 1
