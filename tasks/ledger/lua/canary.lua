-- arg: worker, whether its canary went well (1 or 0), why not.
local worker, well, why = unpack(arg)
local key = worker_key(worker)
if redis.call('HEXISTS', key, 'quarantined_ms') == 1 and redis.call('HEXISTS', key, 'manual') == 0 then
  if well == '1' then
    forget_sickness(worker)
  else
    note(worker, 'why', why)
  end
end
return 'ok'
