-- Gives of each batch whose deadline sets the price of a render: {batch, now, deadline, instants of its windows, items that wait,
-- children in flight, children that ended, ms that these took of editors, pace, and model and ms of a job for each model}.
if wiped() then return 'wiped' end
local found = {}
for _, batch in ipairs(redis.call('SMEMBERS', prefix .. 'paced')) do
  local deadline, opens, w, p, f, ended, ms, pace = unpack(
    redis.call('HMGET', batch_key(batch), 'deadline_ms', 'opens', 'n_w', 'n_p', 'n_f', 'pace_n', 'pace_ms', 'pace'))
  if deadline then
    local row = {batch, string.format('%.0f', now), deadline, opens or '', w + p, f, ended or 0, ms or '0', pace or ''}
    for _, span in ipairs(spans_of(batch)) do
      row[#row + 1] = span[1]
      row[#row + 1] = redis.call('HGET', prefix .. 'speeds', span[1] .. '|brief') or ''
    end
    found[#found + 1] = row
  else
    redis.call('SREM', prefix .. 'paced', batch)
  end
end
return found
