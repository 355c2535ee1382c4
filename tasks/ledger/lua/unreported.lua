-- arg: most, ms. Children that ended so long ago and whose result is not stored: the records, the oldest first. All of them
-- when more than `most` have ended, or when a batch waits for nothing else.
if wiped() then return 'wiped' end
local most, age = tonumber(arg[1]), tonumber(arg[2])
local ids = redis.call('ZRANGE', prefix .. 'unreported', 0, most - 1)
local records, urgent = {}, #ids == most
for _, id in ipairs(ids) do
  local batch, ended = fields(id, 'batch', 'ended_ms')
  if broken(id) then
    redis.call('ZREM', prefix .. 'unreported', id)
  elseif redis.call('SISMEMBER', prefix .. 'uncosted', id) == 0 then -- what it cost is not known yet
    local waiting, picked, flying = unpack(redis.call('HMGET', batch_key(batch), 'n_w', 'n_p', 'n_f'))
    urgent = urgent or now - ended >= age or not waiting or waiting + picked + flying == 0
    records[#records + 1] = view(id)
  end
end
return urgent and records or {}
