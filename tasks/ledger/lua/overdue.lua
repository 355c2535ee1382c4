-- arg: queue, age of the hint in ms, limit. Gives hints, oldest first, and counts them as sent now.
if wiped() then return 'wiped' end
local queue, age, limit = unpack(arg)
local waiting, delayed = prefix .. 'waiting:' .. queue, prefix .. 'delayed:' .. queue
for _, id in ipairs(redis.call('ZRANGEBYSCORE', delayed, '-inf', now, 'LIMIT', 0, limit)) do
  redis.call('ZREM', delayed, id)
  if not broken(id) then wait(id, queue, 0) end
end
local hints = {}
for _, id in ipairs(redis.call('ZRANGEBYSCORE', waiting, '-inf', now - age, 'LIMIT', 0, limit)) do
  if not broken(id) then
    redis.call('ZADD', waiting, now, id)
    set(id, 'hinted_ms', now)
    hints[#hints + 1] = hint(id)
  end
end
return hints
