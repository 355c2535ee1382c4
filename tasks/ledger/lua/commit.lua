-- arg: id, step, nonce, snapshot, next queue ('' when ended), next kind, status, stop, acknowledge_cancel,
-- summary, cost, performed (1: by a seat), sha256 of the snapshot, message ...
if wiped() then return 'wiped' end
local id, n, nonce, snapshot, queue, kind, status, stop, acknowledged, summary, cost, performed, sha256 =
  unpack(arg, 1, 13)
local step, owned_by, cancel, last_step, last_nonce, served_on, worker =
  fields(id, 'step', 'nonce', 'cancel', 'last_step', 'last_nonce', 'queue', 'holder')
if not step or nonce == '' then return 'REFUSED' end
if last_step == n and last_nonce == nonce then return 'OK' end -- applied, and the answer was lost
if step ~= n or owned_by ~= nonce then
  charge(id, nonce, cost, true)
  return 'REFUSED'
end
if cancel == '1' and acknowledged ~= '1' then return 'CANCEL' end
leave(id)
measure(id, served_on, true)
if performed == '1' then succeeded(served_on, worker) end
reset_counters(id)
charge(id, nonce, cost, false)
set(id, 'step', n + 1, 'snapshot', snapshot, 'kind', kind, 'error', '', 'last_step', n, 'last_nonce', nonce,
  'facts', summary, 'snapshot_sha256', sha256)
note_picture(id, summary)
if queue == '' then
  has_ended(id, now)
  deactivate(id, status)
  set(id, 'queue', '', 'status', status, 'stop', stop, 'nonce', '', 'holder', '', 'lease_ms', 0, 'ended_ms', now)
  child_ends(id)
else
  if n == '0' then stand(id, 'queued') end
  enter(id)
  wait(id, queue, now)
  if fields(id, 'deferred') == '1' then join_lanes(fields(id, 'batch')) end
  write_message(id, 14)
end
return 'OK'
