-- arg: id and ended_ms of each, ... The results of these children are stored: they leave the ledger. Gives those that did; one
-- that went on since, or whose dead letter is not filed yet, stays.
if wiped() then return 'wiped' end
local gone = {}
for i = 1, #arg, 2 do
  local id, ended = arg[i], arg[i + 1]
  local batch, at = fields(id, 'batch', 'ended_ms')
  if batch and at == ended and redis.call('ZSCORE', prefix .. 'unreported', id)
    and redis.call('SISMEMBER', prefix .. 'unfiled', id) == 0 and redis.call('SISMEMBER', prefix .. 'uncosted', id) == 0 then
    local flat = redis.call('HGETALL', job_key(id))
    for k = 1, #flat, 2 do
      if string.sub(flat[k], 1, 5) == 'cost_' then redis.call('HINCRBY', batch_key(batch), flat[k], flat[k + 1]) end
    end
    take_out(id)
    redis.call('DEL', job_key(id))
    may_close(batch)
    gone[#gone + 1] = id
  end
end
return gone
