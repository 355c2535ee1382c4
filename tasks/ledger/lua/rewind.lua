-- arg: id, step, nonce, error, cost, to, snapshot, queue, kind, summary, sha256. An object that step n needs is lost: the job goes back
-- to step `to` ('' when nothing can make the object again: then it is a dead letter), once a job. Nobody is charged.
-- Gives REWOUND, DEAD, CANCEL (it was to be cancelled, and waits for that) or REFUSED.
if wiped() then return 'wiped' end
local id, n, nonce, why, cost, to, snapshot, queue, kind, summary, sha256 = unpack(arg)
local step, owned_by, cancel, rewound_by, old_queue = fields(id, 'step', 'nonce', 'cancel', 'rewound', 'queue')
if not step then return 'REFUSED' end
if nonce ~= '' and rewound_by == nonce then return 'REWOUND' end -- applied, and the answer was lost
charge(id, nonce, cost, true)
if nonce == '' or owned_by ~= nonce or step ~= n then return 'REFUSED' end
leave(id)
reset_counters(id)
set(id, 'error', why)
if cancel == '1' and old_queue ~= CONTROL then
  to_control(id, 0)
  return 'CANCEL'
end
if to == '' or (rewound_by and rewound_by ~= '') then
  bury(id, nonce)
  return 'DEAD'
end
set(id, 'step', to, 'snapshot', snapshot, 'kind', kind, 'rewound', nonce, 'facts', summary,
  'snapshot_sha256', sha256)
stand(id, 'queued')
enter(id)
wait(id, queue, now)
return 'REWOUND'
