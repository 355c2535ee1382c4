-- arg: ms that a job may wait on a held queue, most jobs, dead letter. Gives how many jobs were given up.
if wiped() then return 'wiped' end
local longest, most, dead_letter = tonumber(arg[1]), tonumber(arg[2]), arg[3]
local given_up = 0
for _, queue in ipairs(redis.call('SMEMBERS', prefix .. 'holds')) do
  local since, why, boundary, actor, resource =
    unpack(redis.call('HMGET', hold_key(queue), 'since_ms', 'why', 'boundary', 'actor', 'resource'))
  if now - since >= longest then
    local said = {boundary = boundary, message = why, actor = actor, fix = 'mend it, then requeue'}
    if resource ~= '' then said.resource = resource end
    for _, id in ipairs(redis.call('ZRANGE', prefix .. 'waiting:' .. queue, 0, -1)) do
      if given_up < most and not broken(id) and now - (fields(id, 'entered_ms') or since) >= longest then
        leave(id)
        set(id, 'error', (string.gsub(cjson.encode(said), '\\/', '/')))
        bury(id, dead_letter)
        given_up = given_up + 1
      end
    end
  end
end
return given_up
