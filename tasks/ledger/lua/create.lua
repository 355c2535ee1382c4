-- arg: mode, its condition, id, owner, title, created_ms, priority, step, snapshot,
-- queue ('' when ended), kind, status, stop, cancel, error, dead_letter, labels, summary, cost, ended_ms, rewound, sha256,
-- cost_later (1: restore_cost adds it), model, paused, batch ('' for none), item, take, generation, custom_id,
-- pause_order, priority_order, size, message ...
-- Modes: create; restore: by the holder of the rebuild lock; behind: in place of a record that nobody holds a lease of
-- and that stands at the given step. Gives created, present, wiped, removing, unlocked, busy or unwanted: the item has another
-- take now, or has ended.

-- A function of its own: Lua gives one chunk no more variables.
local function create()
  local before_renders, before_gpu_ms = 0, 0
  local mode, condition, id, owner, title, created, priority, step, snapshot, queue, kind, status, stop, cancel, why,
    dead_letter, labels, summary, cost, ended, rewound, sha256, cost_later,
    model, is_paused, batch, item, take, generation, custom_id,
    pause_order, priority_order, size = unpack(arg, 1, 33)
  if mode == 'create' then
    if wiped() then return 'wiped' end
  elseif mode == 'behind' then
    if wiped() then return 'wiped' end
    local standing, at, lease = fields(id, 'status', 'step', 'lease_ms')
    if at ~= condition or (standing == 'running' and tonumber(lease) > now) then return 'busy' end
    local renders, gpu_ms = fields(id, 'cost_renders', 'cost_gpu_ms')
    before_renders, before_gpu_ms = tonumber(renders or 0), tonumber(gpu_ms or 0)
    take_out(id)
    redis.call('DEL', job_key(id))
  elseif not wiped() or rebuilder() ~= condition then
    return 'unlocked'
  end
  if redis.call('EXISTS', job_key(id)) == 1 then return 'present' end
  if batch ~= '' and redis.call('EXISTS', batch_key(batch)) == 1 then
    local letter = letter_of(batch, item)
    if mode == 'create' and (try_of(batch, item) ~= tonumber(take) or string.find('wpf', letter, 1, true) == nil) then
      return 'unwanted'
    end
  end
  if redis.call('EXISTS', prefix .. 'removing:' .. id) == 1 then return 'removing' end
  -- The batch knows what the job cost: its result is stored, or it goes on where it failed.
  local paid = false
  if batch ~= '' and redis.call('EXISTS', batch_key(batch)) == 1 then
    local now_take, _, _, how = try_of(batch, item)
    paid = mode == 'create' and how == 'r'
      or mode == 'restore' and now_take == tonumber(take) and string.find('duxk', letter_of(batch, item), 1, true) ~= nil
  end
  set(id, 'job', id, 'owner', owner, 'title', title, 'created_ms', created, 'priority', priority, 'step', step,
    'snapshot', snapshot, 'queue', queue, 'kind', kind, 'status', status, 'stop', stop, 'cancel', cancel, 'error', why,
    'letter', dead_letter, 'labels', labels, 'facts', summary, 'ended_ms', 0, 'not_before_ms', 0, 'hinted_ms', 0,
    'nonce', '', 'holder', '', 'lease_ms', 0, 'last_step', '', 'last_nonce', '', 'charged', '', 'rewound', rewound,
    'snapshot_sha256', sha256, 'model', model, 'size', size, 'paused', is_paused,
    'pause_order', pause_order, 'priority_order', priority_order, 'order', math.max(pause_order, priority_order))
  if batch ~= '' then
    set(id, 'batch', batch, 'item', item, 'take', take, 'generation', generation, 'custom_id', custom_id)
    admitted(id)
    local _, told = try_of(batch, item)
    if told ~= tonumber(generation) then set_try(batch, item, take, generation, 0, 's') end
  end
  note_picture(id, summary)
  reset_counters(id)
  add_cost(id, cost)
  if not paid then
    local renders, gpu_ms = fields(id, 'cost_renders', 'cost_gpu_ms')
    spend(id, tonumber(renders or 0) - before_renders, tonumber(gpu_ms or 0) - before_gpu_ms, false)
  end
  if cost_later == '1' then
    redis.call('SADD', prefix .. 'counted:' .. id, '')
    redis.call('SADD', prefix .. 'uncosted', id)
    if batch ~= '' then redis.call('SADD', prefix .. 'uncosted:' .. batch, id) end
  end
  redis.call('ZADD', prefix .. 'created', created, id)
  redis.call('ZADD', prefix .. 'owner:' .. owner, created, id)
  label(id)
  if status == 'queued' then
    if cancel == '1' then queue = CONTROL end
    activate(id)
    child_starts(id)
    enter(id)
    wait(id, queue, mode == 'create' and now or 0)
    write_message(id, 34)
  else
    if ended == '0' then ended = now end
    set(id, 'ended_ms', ended)
    stand(id, status)
    if queue == '' then
      has_ended(id, ended)
    else
      redis.call('SADD', prefix .. 'dead', id)
    end
    child_ends(id)
  end
  return 'created'
end

return create()
