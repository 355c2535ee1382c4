-- arg: ms, limit. Gives the present, then batch and windows (by lines) of those whose instants run out within so long.
if wiped() then return 'wiped' end
local found = {string.format('%.0f', now)}
for _, batch in ipairs(redis.call('ZRANGEBYSCORE', prefix .. 'windowed', '-inf', now + arg[1], 'LIMIT', 0, arg[2])) do
  local windows = redis.call('HGET', batch_key(batch), 'windows')
  if windows then
    found[#found + 1], found[#found + 2] = batch, windows
  else
    redis.call('ZREM', prefix .. 'windowed', batch)
  end
end
return found
