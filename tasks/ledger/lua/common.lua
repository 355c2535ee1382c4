-- Read before every other script. KEYS[1] is the prefix of all keys (the scripts build the rest, so
-- this ledger is for one Redis server, not for a Redis Cluster).
-- ARGV[1] the time in ms, where a test says it (0: the server's own), [2] lease ttl in ms, [3] seat attempts
-- and [4] lease deaths allowed; [5] to [9] are of holds.lua; a script's own arguments follow in `arg`.
--
-- <prefix>job:<id>              hash: everything known of a job; `letter` is its dead letter, `facts` its summary (JSON),
--                               `snapshot_sha256` is of the snapshot's bytes ('' where they were not known),
--                               `entered_ms` when it came to its step, or went on after a pause, `held_mark` see holds.lua,
--                               `order` the last number given to an order, `pause_order` and `priority_order` those applied
-- <prefix>waiting:<queue>       zset: jobs that may be claimed, by the time of their hint (0: never sent)
-- <prefix>delayed:<queue>       zset: jobs that failed, by the time of their next attempt
-- <prefix>leased:<queue>        zset: jobs being worked on, by the end of their lease
-- <prefix>queues                set: every queue that was used
-- <prefix>created, owner:<o>    zsets: jobs by the time of their submit
-- <prefix>label:<l>|<o>, standing:<s>|<o>  the same, of the jobs with a label, and of those that stand so: fresh (at step 0),
--                               begun, done, cancelled, failed; each also of everybody's jobs (<o> empty)
-- <prefix>indexed               string: every job is in these
-- <prefix>active:<o>            zset: an owner's jobs that have not ended, at +inf, and those admitted, by when that ends
-- <prefix>body:<id>             string, for a while: sha256 of the body that asked for the job
-- <prefix>ended                 zset: jobs whose trajectory ended, by when
-- <prefix>unlisted              zset: those of them that storage does not list yet
-- <prefix>older                 string: storage lists jobs that are no longer here
-- <prefix>removing:<id>         string, for a while: the job's objects are being deleted
-- <prefix>unfiled               set: FAILED jobs whose dead letter is not in object storage yet
-- <prefix>uncosted              set: jobs that were restored without what they cost before
-- <prefix>counted:<id>          set, of a job that was or is among them: nonces of the attempts whose cost was added
-- <prefix>dead                  set: FAILED jobs that may be requeued
-- <prefix>tallies               hash: "lease_deaths|<queue>" and "dead_letters|<queue>", how often so far;
--                               "set_aside|all", how many records
-- <prefix>serving               zset: "<queue>|<worker>" by when the announcement ends
-- <prefix>drawing               zset: "<queue>|<worker>" of editors that serve several models, by when that ends
-- <prefix>turning:<queue>       string, for a moment: an editor turns to this queue
-- <prefix>broken                hash: jobs whose record could not be used, by when it was set aside
-- <prefix>broken:<id>           hash: such a record, for a while
-- <prefix>server                string: the server's replication id when all jobs were last known to be right
-- <prefix>ready                 string, for a while: written to see whether the server takes writes
-- <prefix>successes             hash: queue, and how many steps were done on it
-- <prefix>holds                 set: queues that are held, as what they need is away or broken
-- <prefix>hold:<queue>          hash: since_ms, actor, boundary, why, fix, resource; pause_ms and next_ms of the probes, tries,
--                               job (failed last), probe and probe_job (nonce and job of the last probe), told_ms (its hint)
-- <prefix>sick                  set: workers with a hash
-- <prefix>worker:<name>         hash: failures in a row, jobs (the first two), why, mark:<queue> (successes when they began);
--                               pause_ms and rest_until_ms; quarantined_ms, canary_ms (when the next is due), canaries,
--                               manual. Lapses a day after the worker was last seen, unless manual
-- <prefix>outbox                list: what happened that somebody may want to be told of (JSON), see tasks/notices
-- <prefix>hooked                set: owners who want to be told of each job that ends
-- <prefix>deliveries            zset: "<hook>|<notice>" by when it is to be tried
-- <prefix>tries                 hash: how often each was tried
-- <prefix>failure:<hook>        string, for a month: when a delivery to it failed last, and why: "<ms>|<words>"
-- <prefix>epoch                 string: absent means wiped
-- <prefix>rebuild               hash: holder of the rebuild lock, and until when
local prefix = KEYS[1]
local now = tonumber(ARGV[1])
if now == 0 then
  local time = redis.call('TIME')
  now = time[1] * 1000 + math.floor(time[2] / 1000)
end
local lease_ttl, seat_cap, death_cap = tonumber(ARGV[2]), tonumber(ARGV[3]), tonumber(ARGV[4])
local arg = {unpack(ARGV, 10)}
local CONTROL = 'control'

-- Whether it is a queue of an editor, whose steps alone draw.
local function draws(queue)
  return string.sub(queue, 1, 7) == 'editor.'
end

local function wiped()
  return redis.call('EXISTS', prefix .. 'epoch') == 0
end

-- The process that may rebuild the ledger now, or nil.
local function rebuilder()
  local holder, ends = unpack(redis.call('HMGET', prefix .. 'rebuild', 'holder', 'until'))
  if holder and tonumber(ends) > now then return holder end
end

local function job_key(id)
  return prefix .. 'job:' .. id
end

local child_ends -- of batch.lua
local barred, fall_asleep, defer, undefer, spend_cost -- of terms.lua
local tell_budget -- of batch.lua

local function fields(id, ...)
  return unpack(redis.call('HMGET', job_key(id), ...))
end

local function set(id, ...)
  redis.call('HSET', job_key(id), ...)
end

-- Where the job is kept while it must not go on.
local function parking(id)
  return prefix .. 'parked:' .. (fields(id, 'batch') or 'jobs')
end

-- A parked child of a batch is in flight for no editor: others begin in its place. `apart` says that it was taken off:
-- those that an earlier version parked were not.
local function park(id)
  local batch, model = fields(id, 'batch', 'model')
  if redis.call('SADD', parking(id), id) == 1 and batch then
    set(id, 'apart', 1)
    redis.call('HINCRBY', prefix .. 'flying', model, -1)
  end
end

local function leave_parking(id)
  local apart, model = fields(id, 'apart', 'model')
  if redis.call('SREM', parking(id), id) == 1 and apart == '1' then
    set(id, 'apart', 0)
    redis.call('HINCRBY', prefix .. 'flying', model, 1)
  end
end

-- Somebody paused the job or its batch.
local function paused(id)
  local batch, by_itself = fields(id, 'batch', 'paused')
  return by_itself == '1' or (batch and redis.call('HGET', prefix .. 'batch:' .. batch, 'state') == 'paused') or false
end

local STANDINGS = {'fresh', 'begun', 'done', 'cancelled', 'failed'}

local function label_key(label, owner)
  return prefix .. 'label:' .. label .. '|' .. owner
end

local function standing_key(standing, owner)
  return prefix .. 'standing:' .. standing .. '|' .. owner
end

-- List the job under how it stands now, and nowhere else: at a step, or ended with this status.
local function stand(id, status)
  local owner, created, step = fields(id, 'owner', 'created_ms', 'step')
  local now_standing = status
  if status == 'queued' or status == 'running' then now_standing = step == '0' and 'fresh' or 'begun' end
  for _, whose in ipairs({'', owner}) do
    for _, standing in ipairs(STANDINGS) do
      if standing == now_standing then
        redis.call('ZADD', standing_key(standing, whose), created, id)
      else
        redis.call('ZREM', standing_key(standing, whose), id)
      end
    end
  end
end

-- List the job under its labels.
local function label(id)
  local owner, created, labels = fields(id, 'owner', 'created_ms', 'labels')
  for name in string.gmatch(labels or '', '[^,]+') do
    for _, whose in ipairs({'', owner}) do redis.call('ZADD', label_key(name, whose), created, id) end
  end
end

-- The job's trajectory has ended; a batch keeps its children's results itself.
local function has_ended(id, at)
  if fields(id, 'batch') then return end
  redis.call('ZADD', prefix .. 'ended', at, id)
  redis.call('ZADD', prefix .. 'unlisted', at, id)
end

-- Take a job out of the lists, and drop what is noted of it beside its record.
local function unlist(id)
  local owner, labels = fields(id, 'owner', 'labels')
  redis.call('ZREM', prefix .. 'created', id)
  redis.call('ZREM', prefix .. 'ended', id)
  redis.call('ZREM', prefix .. 'unlisted', id)
  redis.call('SREM', prefix .. 'unfiled', id)
  redis.call('SREM', prefix .. 'dead', id)
  redis.call('SREM', prefix .. 'uncosted', id)
  redis.call('DEL', prefix .. 'counted:' .. id)
  if not owner then return end -- the record was evicted
  redis.call('ZREM', prefix .. 'owner:' .. owner, id)
  for _, whose in ipairs({'', owner}) do
    for _, standing in ipairs(STANDINGS) do redis.call('ZREM', standing_key(standing, whose), id) end
    for name in string.gmatch(labels or '', '[^,]+') do redis.call('ZREM', label_key(name, whose), id) end
  end
end

-- Take a job out of everything that names it; its record stays.
local function take_out(id)
  undefer(id)
  local owner, batch, index = fields(id, 'owner', 'batch', 'item')
  leave_parking(id)
  redis.call('ZREM', prefix .. 'unreported', id)
  local children = prefix .. 'children:' .. (batch or '')
  -- The item may have another job by now: it was tried again before this one's result was stored.
  if batch and index and redis.call('HGET', children, index) == id then redis.call('HDEL', children, index) end
  for _, queue in ipairs(redis.call('SMEMBERS', prefix .. 'queues')) do
    for _, set_name in ipairs({'waiting:', 'delayed:', 'leased:'}) do
      redis.call('ZREM', prefix .. set_name .. queue, id)
    end
  end
  if owner then redis.call('ZREM', prefix .. 'active:' .. owner, id) end
  unlist(id)
end

-- The record can't be used. Storage knows the job: the reconciler enters it again.
local function set_aside(id)
  take_out(id)
  if redis.call('EXISTS', job_key(id)) == 1 then
    redis.call('RENAME', job_key(id), prefix .. 'broken:' .. id)
    redis.call('EXPIRE', prefix .. 'broken:' .. id, 30 * 86400)
  end
  if redis.call('HSET', prefix .. 'broken', id, now) == 1 then
    redis.call('HINCRBY', prefix .. 'tallies', 'set_aside|all', 1)
  end
end

-- True for a job whose record is gone (evicted) or lacks what the scripts need; then it is set aside.
local function broken(id)
  local words = redis.call('HMGET', job_key(id), 'status', 'queue', 'kind', 'owner', 'nonce', 'holder', 'title')
  local numbers = redis.call('HMGET', job_key(id), 'step', 'lease_ms', 'not_before_ms', 'created_ms', 'priority')
  local sound = true
  for _, word in ipairs(words) do sound = sound and word end
  for _, number in ipairs(numbers) do sound = sound and number and tonumber(number) end
  if not sound then set_aside(id) end
  return not sound
end

-- A record as a flat list; a job whose lease ran out counts as queued.
local function view(id)
  local flat = redis.call('HGETALL', job_key(id))
  local status, lease = fields(id, 'status', 'lease_ms')
  if status == 'running' and (tonumber(lease) or 0) <= now then
    for _, word in ipairs({'status', 'queued', 'holder', ''}) do flat[#flat + 1] = word end
  end
  if #flat > 0 then
    flat[#flat + 1], flat[#flat + 2] = 'job', id
  end
  return flat
end

local function hint(id)
  local step, queue, kind, title, priority, batch =
    fields(id, 'step', 'queue', 'kind', 'title', 'priority', 'batch')
  return {id, step, queue, kind, title, priority, batch or ''}
end

-- Take the job out of its queue's sets.
local function leave(id)
  undefer(id)
  local queue = fields(id, 'queue')
  for _, set_name in ipairs({'waiting:', 'delayed:', 'leased:'}) do
    redis.call('ZREM', prefix .. set_name .. queue, id)
  end
  leave_parking(id)
end

-- The job has come to a step: nobody failed at it yet.
local function enter(id)
  set(id, 'entered_ms', now, 'held_mark', '')
end

-- Somebody paused the job, or a window or a budget lets it take no step now.
local function stopped(id)
  if paused(id) then return true end
  local why, till = barred(id)
  if why then fall_asleep(id, till) end
  return why ~= nil
end

-- Queue the job's step, free of any lease. `hinted` 0: nobody was told yet. A job that must not go on is parked instead.
local function wait(id, queue, hinted)
  redis.call('SADD', prefix .. 'queues', queue)
  set(id, 'queue', queue)
  local parked = queue ~= CONTROL and stopped(id)
  local kept = not parked and queue ~= CONTROL and defer(id)
  if parked then park(id) end
  if parked or kept then
    hinted = 0
  else
    redis.call('ZADD', prefix .. 'waiting:' .. queue, hinted, id)
    if fields(id, 'parked') == '1' then set(id, 'entered_ms', now) end -- a pause is no waiting for what is held
  end
  set(id, 'status', 'queued', 'queue', queue, 'hinted_ms', hinted, 'not_before_ms', 0,
    'nonce', '', 'holder', '', 'lease_ms', 0, 'parked', parked and 1 or 0)
end

-- Children of batches don't count: the dispatcher says how many there are.
local function activate(id)
  stand(id, 'queued')
  if fields(id, 'batch') then return end
  redis.call('ZADD', prefix .. 'active:' .. fields(id, 'owner'), '+inf', id)
end

local function deactivate(id, status)
  stand(id, status)
  redis.call('ZREM', prefix .. 'active:' .. fields(id, 'owner'), id)
end

-- Add to the job's cost: flat JSON of whole numbers, or ''.
local function add_cost(id, cost)
  if cost == '' then return end
  for name, amount in pairs(cjson.decode(cost)) do
    redis.call('HINCRBY', job_key(id), 'cost_' .. name, amount)
  end
end

-- True the first time for each attempt of a job that was restored without its cost; of other jobs nothing is noted.
local function uncounted(id, nonce)
  local counted = prefix .. 'counted:' .. id
  return redis.call('EXISTS', counted) == 0 or redis.call('SADD', counted, nonce) == 1
end

-- Add what an attempt cost. Once for each nonce, as any call may be repeated.
local function charge(id, nonce, cost, wasted)
  if cost == '' or nonce == '' or nonce == fields(id, 'charged') or not uncounted(id, nonce) then return end
  add_cost(id, cost)
  spend_cost(id, cost, true)
  if wasted then redis.call('HINCRBY', job_key(id), 'cost_wasted_attempts', 1) end
  set(id, 'charged', nonce)
end

local function reset_counters(id)
  set(id, 'seat_failures', 0, 'lease_deaths', 0, 'attempts', 0, 'died', 0)
end

-- A cancelled job that nobody holds: any machine may end it. The caller has called leave().
local function to_control(id, hinted)
  reset_counters(id)
  wait(id, CONTROL, hinted)
end

-- Count what people watch.
local function tally(what, queue)
  redis.call('HINCRBY', prefix .. 'tallies', what .. '|' .. queue, 1)
end

-- The job is a dead letter; `dead_letter` is the nonce of its last attempt. The caller has called leave().
local function bury(id, dead_letter)
  set(id, 'status', 'failed', 'letter', dead_letter, 'nonce', '', 'holder', '', 'lease_ms', 0, 'not_before_ms', 0,
    'ended_ms', now)
  deactivate(id, 'failed')
  redis.call('SADD', prefix .. 'unfiled', id)
  redis.call('SADD', prefix .. 'dead', id)
  tally('dead_letters', fields(id, 'queue'))
  child_ends(id)
end

-- The lease of a running job ran out.
local function lease_died(id)
  local queue, holder, nonce, cancel = fields(id, 'queue', 'holder', 'nonce', 'cancel')
  local message = string.gsub(cjson.encode('the worker ' .. holder .. ' went silent'), '\\/', '/')
  leave(id)
  tally('lease_deaths', queue)
  set(id, 'error', '{"boundary":"lease","message":' .. message .. ',"fix":""}')
  if cancel == '1' and queue ~= CONTROL then
    return to_control(id, now)
  end
  local deaths = redis.call('HINCRBY', job_key(id), 'lease_deaths', 1)
  set(id, 'died', 1)
  if deaths >= death_cap then
    bury(id, nonce)
  else
    wait(id, queue, now)
  end
end
