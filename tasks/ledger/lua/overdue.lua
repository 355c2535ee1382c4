-- arg: queue, age of the hint in ms, limit. Gives hints, oldest first, and counts them as sent now. Of a held queue at most
-- one, when the next probe is due: of another job than the one that failed last, if there is one.
if wiped() then return 'wiped' end
local queue, age, limit = unpack(arg)
local waiting, delayed = prefix .. 'waiting:' .. queue, prefix .. 'delayed:' .. queue
for _, id in ipairs(redis.call('ZRANGEBYSCORE', delayed, '-inf', now, 'LIMIT', 0, limit)) do
  redis.call('ZREM', delayed, id)
  if not broken(id) then wait(id, queue, 0) end
end

local function due()
  if not is_held(queue) then
    return redis.call('ZRANGEBYSCORE', waiting, '-inf', now - age, 'LIMIT', 0, limit)
  end
  local told, failed = unpack(redis.call('HMGET', hold_key(queue), 'told_ms', 'job'))
  if tonumber(limit) < 1 or is_closed(queue) or now - age < tonumber(told or 0) then return {} end
  local first, second = unpack(redis.call('ZRANGE', waiting, 0, 1))
  if not first then return {} end
  redis.call('HSET', hold_key(queue), 'told_ms', now)
  return {first == failed and second or first}
end

local hints = {}
for _, id in ipairs(due()) do
  if not broken(id) then
    redis.call('ZADD', waiting, now, id)
    set(id, 'hinted_ms', now)
    hints[#hints + 1] = hint(id)
  end
end
return hints
