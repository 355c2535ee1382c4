-- arg: lanes, ... For each {what is picked, what is in flight, and what an editor's step, the rest beside it, and a job take in
-- ms ('' when not known)} of its model, how many owners stand in it, how many jobs wait for the other seats or are picked,
-- and how many steps of those seats run.
if wiped() then return 'wiped' end
local queued, thinking = 0, 0
for _, queue in ipairs(redis.call('SMEMBERS', prefix .. 'queues')) do
  if queue ~= CONTROL and not draws(queue) then
    queued = queued + redis.call('ZCARD', prefix .. 'waiting:' .. queue)
    thinking = thinking + redis.call('ZCARD', prefix .. 'leased:' .. queue)
  end
end
for _, picked in ipairs(redis.call('HVALS', prefix .. 'picks')) do queued = queued + picked end
local found = {}
for i, lane in ipairs(arg) do
  local model = string.gsub(lane, '!', '')
  local picked, flying = redis.call('HGET', prefix .. 'picks', model), redis.call('HGET', prefix .. 'flying', model)
  local speeds = redis.call('HMGET', prefix .. 'speeds', model .. '|step', model .. '|other', model .. '|brief')
  found[i] = {picked or 0, flying or 0, speeds[1] or '', speeds[2] or '', speeds[3] or '',
    redis.call('ZCARD', prefix .. 'lanes:' .. lane), queued, thinking}
end
return found
