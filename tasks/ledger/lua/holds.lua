-- Whose fault a failure is: the job's, the worker's, or that of something that the whole queue needs. Read after common.lua.
-- ARGV[5] ms that an editor rests after a failure, [6] first and [7] longest pause before the next try of what is held,
-- [8] ms until the first canary, [9] failures in a row that make a worker sick. Rests and pauses double with each failure.
local rest_ms, pause_ms, pause_cap, canary_ms, sick_after =
  tonumber(ARGV[5]), tonumber(ARGV[6]), tonumber(ARGV[7]), tonumber(ARGV[8]), tonumber(ARGV[9])
local LONGEST_RETRY_AFTER, REMEMBERED = 3600000, 86400000
local CANARIES = {1, 5, 30} -- the times of canary_ms; the last one stays

local function hold_key(queue)
  return prefix .. 'hold:' .. queue
end

local function worker_key(worker)
  return prefix .. 'worker:' .. worker
end

local function is_held(queue)
  return redis.call('EXISTS', hold_key(queue)) == 1
end

local function successes(queue)
  return tonumber(redis.call('HGET', prefix .. 'successes', queue) or 0)
end

local function decoded(json)
  local fine, value = pcall(cjson.decode, json)
  return fine and type(value) == 'table' and value or {}
end

-- --- workers -----------------------------------------------------------------------------------

-- How long the worker still rests in ms, and whether it is quarantined (1 or 0).
local function standing(worker)
  local rests, quarantined = unpack(redis.call('HMGET', worker_key(worker), 'rest_until_ms', 'quarantined_ms'))
  return math.max(0, tonumber(rests or 0) - now), quarantined and 1 or 0
end

local function may_work(worker)
  local rests, quarantined = standing(worker)
  return rests == 0 and quarantined == 0
end

-- Note something about a worker, and that it was seen.
local function note(worker, ...)
  redis.call('HSET', worker_key(worker), ...)
  redis.call('SADD', prefix .. 'sick', worker)
  if redis.call('HEXISTS', worker_key(worker), 'manual') == 1 then
    redis.call('PERSIST', worker_key(worker))
  else
    redis.call('PEXPIRE', worker_key(worker), REMEMBERED)
  end
end

local function forget_sickness(worker)
  redis.call('DEL', worker_key(worker))
  redis.call('SREM', prefix .. 'sick', worker)
end

-- An editor of several models draws from this one's queue now, for `ttl` ms.
local function draws_from(worker, queue, ttl)
  local drawing, ending = prefix .. 'drawing', '|' .. worker
  for _, member in ipairs(redis.call('ZRANGE', drawing, 0, -1)) do
    if string.sub(member, -#ending) == ending then redis.call('ZREM', drawing, member) end
  end
  redis.call('ZADD', drawing, now + ttl, queue .. ending)
end

-- How many workers serve the queue, this one included, and how many of the others may work now.
local function colleagues(queue, worker)
  local start, all, fit = queue .. '|', 1, 0
  for _, member in ipairs(redis.call('ZRANGEBYSCORE', prefix .. 'serving', string.format('(%.0f', now), '+inf')) do
    local other = string.sub(member, #start + 1)
    if string.sub(member, 1, #start) == start and other ~= worker then
      all = all + 1
      if may_work(other) then fit = fit + 1 end
    end
  end
  return all, fit
end

-- May this worker alone stand back? When others go on, and either they succeed where it fails, or most are well.
local function stands_alone(queue, worker, others_succeed)
  local all, fit = colleagues(queue, worker)
  return fit > 0 and (others_succeed or 2 * (all - fit) < all)
end

-- One failure more in a row. Gives how many came before; whether two or more jobs met them, this one included; and
-- whether others succeeded on the queue since they began.
local function count_failure(worker, queue, id, why)
  local key = worker_key(worker)
  local before, jobs = unpack(redis.call('HMGET', key, 'failures', 'jobs'))
  jobs = jobs or ''
  if jobs == '' then
    jobs = id
  elseif not string.find(jobs, ',', 1, true) and jobs ~= id then
    jobs = jobs .. ',' .. id
  end
  redis.call('HSETNX', key, 'mark:' .. queue, successes(queue))
  local others_succeed = successes(queue) > tonumber(redis.call('HGET', key, 'mark:' .. queue))
  note(worker, 'failures', tonumber(before or 0) + 1, 'jobs', jobs, 'why', why)
  return tonumber(before or 0), string.find(jobs, ',', 1, true) ~= nil, others_succeed
end

-- The worker takes nothing for `first` ms, doubled for each rest before this one, and for `least` ms.
local function rest(worker, first, least)
  local pause, ends = unpack(redis.call('HMGET', worker_key(worker), 'pause_ms', 'rest_until_ms'))
  ends = tonumber(ends or 0)
  if ends <= now then -- else it failed at something that began before its rest
    pause = math.min(pause and pause * 2 or first, pause_cap)
    ends = now + pause
  end
  note(worker, 'pause_ms', pause, 'rest_until_ms', math.max(ends, now + least))
end

local function quarantine(worker, why)
  note(worker, 'why', why, 'quarantined_ms', now, 'canary_ms', now + canary_ms, 'canaries', 0)
end

-- --- queues ------------------------------------------------------------------------------------

-- A step that probes a held queue runs now.
local function is_probed(queue)
  local probe, job = unpack(redis.call('HMGET', hold_key(queue), 'probe', 'probe_job'))
  if not probe or probe == '' then return false end
  local nonce, lease = fields(job, 'nonce', 'lease_ms')
  return nonce == probe and tonumber(lease) > now
end

-- The queue is held, and nobody may try now.
local function is_closed(queue)
  local next_ms = redis.call('HGET', hold_key(queue), 'next_ms')
  return next_ms and (now < tonumber(next_ms) or is_probed(queue)) or false
end

-- The claim of a held queue's job is its probe: the next has to wait.
local function begin_probe(queue, id, nonce)
  local pause = redis.call('HGET', hold_key(queue), 'pause_ms')
  if pause then
    redis.call('HSET', hold_key(queue), 'probe', nonce, 'probe_job', id, 'next_ms', now + pause)
  end
end

-- Hold the queue, or go on holding it: its jobs wait, and one at a time tries again. `least`: no sooner than in so many ms.
local function hold(queue, id, nonce, actor, told, why, least)
  local pause, next_ms, probe, tries = unpack(redis.call('HMGET', hold_key(queue), 'pause_ms', 'next_ms', 'probe', 'tries'))
  if not pause then
    pause, next_ms, tries = pause_ms, now + pause_ms, 1
    redis.call('HSET', hold_key(queue), 'since_ms', now)
    redis.call('SADD', prefix .. 'holds', queue)
  elseif probe == nonce then
    pause, tries = math.min(2 * pause, pause_cap), tries + 1
    next_ms, probe = now + pause, ''
  end
  redis.call('HSET', hold_key(queue), 'actor', actor, 'boundary', told.boundary or '', 'why', why, 'fix', told.fix or '',
    'resource', told.resource or '', 'pause_ms', pause, 'next_ms', math.max(tonumber(next_ms), now + least),
    'tries', tries, 'job', id, 'probe', probe or '')
end

-- What the queue needs works again: all its jobs go on, and nobody was told yet.
local function release(queue)
  redis.call('DEL', hold_key(queue))
  redis.call('SREM', prefix .. 'holds', queue)
  redis.call('ZUNIONSTORE', prefix .. 'waiting:' .. queue, 1, prefix .. 'waiting:' .. queue, 'WEIGHTS', 0)
end

-- A seat did a step of this queue.
local function succeeded(queue, worker)
  redis.call('HINCRBY', prefix .. 'successes', queue, 1)
  if is_held(queue) then release(queue) end
  if redis.call('HEXISTS', worker_key(worker), 'manual') == 0 then forget_sickness(worker) end
end

-- --- failures ----------------------------------------------------------------------------------

-- Something that the queue needs is away, or an operator has to mend it. A job that fails while others succeed is to blame
-- itself: `held_mark` has the successes at its last failure. A worker that fails at everything proves nothing against a
-- job, and neither does a server that says when to come back.
local function blame_resource(id, queue, worker, nonce, actor, told, retry_after)
  local mark = fields(id, 'held_mark')
  local before, _, others_succeed = count_failure(worker, queue, id, told.message or '')
  set(id, 'held_mark', successes(queue))
  if not is_held(queue) then
    if mark and mark ~= '' and successes(queue) > tonumber(mark) and before == 0 and retry_after == 0 then
      return 'charge'
    end
    if stands_alone(queue, worker, others_succeed) then
      rest(worker, pause_ms, retry_after)
      return 'again'
    end
  end
  hold(queue, id, nonce, actor, told, told.message or '', retry_after)
  return 'held'
end

-- An editor failed. One that fails at several jobs while others succeed is to blame itself; if all fail, it is the model.
local function blame_editor(id, queue, worker, nonce, told)
  local message = told.message or ''
  local before, several, others_succeed = count_failure(worker, queue, id, message)
  local sick = before + 1 >= sick_after and several
  local alone = stands_alone(queue, worker, others_succeed)
  if is_held(queue) or (sick and not alone) then
    local why = 'every editor of this queue fails: ' .. message
    hold(queue, id, nonce, 'operator', told, why, 0)
    return 'held'
  end
  if sick then
    quarantine(worker, message)
  elseif select(2, colleagues(queue, worker)) > 0 then
    rest(worker, math.min(rest_ms, pause_cap), 0)
  end
  return several and others_succeed and 'again' or 'charge'
end

-- What becomes of a failed step: 'charge' (a try is used up), 'later' (uncharged, after a delay), 'again' (uncharged, at
-- once) or 'held' (uncharged, with its queue).
local function blame(id, queue, worker, nonce, why, actor, retry_after)
  local told = decoded(why)
  if queue == CONTROL then return actor == 'outage' and 'later' or 'charge' end
  if (actor == 'outage' or actor == 'operator') and (told.resource or '') ~= '' then
    return blame_resource(id, queue, worker, nonce, actor, told, math.min(retry_after, LONGEST_RETRY_AFTER))
  end
  if actor == 'outage' then return 'later' end
  if actor == 'seat' and draws(queue) then
    return blame_editor(id, queue, worker, nonce, told)
  end
  return 'charge'
end
