-- arg: mode ('create' or 'restore'), rebuild holder, id, owner, title, created_ms, priority, step, snapshot,
-- queue ('' when ended), kind, status, stop, cancel, error, letter. Gives created, present, wiped or unlocked.
local mode, holder, id, owner, title, created, priority, step, snapshot, queue, kind, status, stop, cancel, why, letter =
  unpack(arg)
if mode == 'create' then
  if wiped() then return 'wiped' end
elseif not wiped() or rebuilder() ~= holder then
  return 'unlocked'
end
if redis.call('EXISTS', job_key(id)) == 1 then return 'present' end
set(id, 'job', id, 'owner', owner, 'title', title, 'created_ms', created, 'priority', priority, 'step', step,
  'snapshot', snapshot, 'queue', queue, 'kind', kind, 'status', status, 'stop', stop, 'cancel', cancel, 'error', why,
  'letter', letter, 'not_before_ms', 0, 'hinted_ms', 0, 'nonce', '', 'holder', '', 'lease_ms', 0,
  'last_step', '', 'last_nonce', '')
reset_counters(id)
redis.call('ZADD', prefix .. 'created', created, id)
redis.call('ZADD', prefix .. 'owner:' .. owner, created, id)
if queue == '' then
  redis.call('ZADD', prefix .. 'ended', now, id)
elseif status ~= 'failed' then
  if cancel == '1' then queue = CONTROL end
  wait(id, queue, mode == 'create' and now or 0)
end
return 'created'
