-- Batches (tasks/batch/types.py): which items wait, who draws next, and what may run. Read after terms.lua.
--
-- <prefix>batch:<id>            hash: owner, title, labels (JSON), priority, created_ms, total, spans (JSON: [[model, first, items], ...]),
--                               state (open, paused, cancelled), order (number of the last one applied), retried (of the last
--                               one that let items wait again: it tells one end from another), most (children in
--                               flight, 0: no cap), weight, front (its place before others), n_<letter> (items that stand so),
--                               cursor:<span> (no item of the span waits before it), cost_<name>, ended_ms; windows (by lines),
--                               spread, deadline_ms (0: none), late_ms (when it was told that this has passed), by (1: it sets
--                               the price of a render), currency, n_deferred, price (of a render, in goals), pace (JSON:
--                               tasks/batch/pacing.py), pace_n and pace_ms (children that ended, and what they took of
--                               editors), and those of terms.lua
-- <prefix>batches, batches:<o>  zsets: batches by when they were created
-- <prefix>states:<id>           string: a letter for each item. w waits, p is picked, f is in flight, d every goal is met,
--                               u ended with goals unmet, x failed, c cancelled before its turn, k cancelled after that
-- <prefix>takes:<id>            string: four characters for each item, once one was tried again: take, generation, rounds (as
--                               characters from '!' on) and mode: r its job goes on where it failed, s its job starts,
--                               u a new job goes on from its picture
-- <prefix>first:<model>:<id>    zset: items that go before the others of their batch, in that order
-- <prefix>children:<id>         hash: job in the ledger by index
-- <prefix>parked:<id>           set: jobs whose step must not run; parked:jobs has those of no batch
-- <prefix>lanes:<lane>          zset: owners with something to pick, by virtual time. A lane is an editor's model, or that
--                               and '!' for batches of priority 0
-- <prefix>lane:<lane>:<owner>   zset: their batches, by score
-- <prefix>clock:<lane>          zset: virtual times of owners who have left the lane; tide:<lane> is that of the last pick
-- <prefix>admitting             zset: "<lane>|<batch>|<index>|<take>" by the end of the lease on the pick
-- <prefix>picks, flying         hashes: by model, how many items are picked and how many children are in flight,
--                               but those that are parked or deferred
-- <prefix>items                 hash: by letter, how many items ended so that had a job
-- <prefix>unreported            zset: children whose result is not stored yet, by when they ended
-- <prefix>closing               set: batches all of whose results are stored, and whose summary is not
-- <prefix>past                  zset: ended batches, by when
-- <prefix>speeds                hash: "<model>|step", "|other", "|brief": ms that an editor's step took, that the job was with
--                               other seats beside each (waits included), and that a job took of an editor; moving averages
local STATE_PART = 65536
local HOUR = 3600000

local batch_key = of_batch

local function states_key(batch)
  return prefix .. 'states:' .. batch
end

local function letter_of(batch, index)
  return redis.call('GETRANGE', states_key(batch), index, index)
end

-- Let the item stand otherwise; gives how it stood.
local function turn(batch, index, to)
  local was = letter_of(batch, index)
  if was ~= to and was ~= '' then
    redis.call('SETRANGE', states_key(batch), index, to)
    redis.call('HINCRBY', batch_key(batch), 'n_' .. was, -1)
    redis.call('HINCRBY', batch_key(batch), 'n_' .. to, 1)
  end
  return was
end

local function takes_key(batch)
  return prefix .. 'takes:' .. batch
end

-- Take, generation, rounds and mode, of an item's four characters.
local function try_in(chars)
  if #chars < 4 or string.byte(chars) == 0 then return 0, 0, 0, 's' end
  return string.byte(chars, 1) - 33, string.byte(chars, 2) - 33, string.byte(chars, 3) - 33, string.sub(chars, 4)
end

-- The other way round.
local function chars_of(take, generation, rounds, mode)
  return string.char(33 + take, 33 + generation, 33 + rounds) .. mode
end

-- An item's present try.
local function try_of(batch, index)
  return try_in(redis.call('GETRANGE', takes_key(batch), 4 * index, 4 * index + 3))
end

local function set_try(batch, index, ...)
  redis.call('SETRANGE', takes_key(batch), 4 * index, chars_of(...))
end

local function spans_of(batch)
  return cjson.decode(redis.call('HGET', batch_key(batch), 'spans'))
end

-- --- lanes -------------------------------------------------------------------------------------

local function lane_of(batch, model)
  return redis.call('HGET', batch_key(batch), 'priority') == '0' and model .. '!' or model
end

-- Smaller goes first: an hour of waiting weighs as much as a class of priority.
local function score_of(batch)
  local created, priority, front = unpack(redis.call('HMGET', batch_key(batch), 'created_ms', 'priority', 'front'))
  if front then return tonumber(front) end
  return tonumber(created) + math.floor(tonumber(priority) / 3) * HOUR
end

local function capped(batch)
  local most, flying, picked, deferred = unpack(redis.call('HMGET', batch_key(batch), 'most', 'n_f', 'n_p', 'n_deferred'))
  return tonumber(most) > 0 and flying + picked - (deferred or 0) >= tonumber(most)
end

-- An owner who was away starts at the present minimum.
local function join_lane(batch, lane)
  local owner = redis.call('HGET', batch_key(batch), 'owner')
  redis.call('ZADD', prefix .. 'lane:' .. lane .. ':' .. owner, score_of(batch), batch)
  if redis.call('ZSCORE', prefix .. 'lanes:' .. lane, owner) then return end
  local tide = redis.call('GET', prefix .. 'tide:' .. lane) or '0'
  redis.call('ZREMRANGEBYSCORE', prefix .. 'clock:' .. lane, '-inf', tide)
  local own = redis.call('ZSCORE', prefix .. 'clock:' .. lane, owner) or tide
  redis.call('ZREM', prefix .. 'clock:' .. lane, owner)
  redis.call('ZADD', prefix .. 'lanes:' .. lane, own, owner)
end

local function leave_lane(batch, lane)
  local owner = redis.call('HGET', batch_key(batch), 'owner')
  redis.call('ZREM', prefix .. 'lane:' .. lane .. ':' .. owner, batch)
  if redis.call('EXISTS', prefix .. 'lane:' .. lane .. ':' .. owner) == 1 then return end
  local own = redis.call('ZSCORE', prefix .. 'lanes:' .. lane, owner)
  if own then
    redis.call('ZADD', prefix .. 'clock:' .. lane, own, owner)
    redis.call('ZREM', prefix .. 'lanes:' .. lane, owner)
  end
end

local function leave_lanes(batch)
  for _, span in ipairs(spans_of(batch)) do leave_lane(batch, lane_of(batch, span[1])) end
end

-- Whether items may begin, and whether those that were deferred may go on; where not, look at it again later.
local function may_begin(batch)
  local why, till = closed_to_new(batch)
  if not why then return true, true end
  sleep(batch, till)
  if redis.call('HGET', batch_key(batch), 'spread') ~= '1' then return false, false end
  return false, not barred_as(batch, redis.call('HGET', batch_key(batch), 'owner'), nil, true)
end

-- Why no item of the batch may begin, its models' windows included: what, whose, the unit of a budget, the model.
local function bar_of_batch(batch)
  local why, till, whose, unit = closed_to_new(batch)
  if why then return why, whose, unit end
  for _, span in ipairs(spans_of(batch)) do
    if not shut(terms_key('model', span[1])) then return nil end
    why, whose = 'window', span[1]
  end
  return why, 'model', nil, whose
end

-- Stand in the lanes of all models of which items may wait, if anything of the batch may be picked.
local function join_lanes(batch)
  if redis.call('HGET', batch_key(batch), 'state') ~= 'open' or capped(batch) then return end
  local begin, deepen = may_begin(batch)
  if not begin and not deepen then return end
  for k, span in ipairs(spans_of(batch)) do
    local cursor = tonumber(redis.call('HGET', batch_key(batch), 'cursor:' .. k) or span[2])
    local more = begin and cursor < span[2] + span[3]
    if more or (deepen and any_deferred(batch, span[1])) then join_lane(batch, lane_of(batch, span[1])) end
  end
end

-- Items from `index` on may wait again.
local function look_again(batch, index)
  for k, span in ipairs(spans_of(batch)) do
    if index >= span[2] and index < span[2] + span[3] then
      local cursor = redis.call('HGET', batch_key(batch), 'cursor:' .. k)
      if cursor and tonumber(cursor) > index then redis.call('HSET', batch_key(batch), 'cursor:' .. k, index) end
    end
  end
end

local function first_key(batch, model)
  return prefix .. 'first:' .. model .. ':' .. batch
end

-- Let these items go before the others of their batch, and before those of which that was said with a smaller number.
local function put_first(batch, indices, number)
  for k, index in ipairs(indices) do
    for _, span in ipairs(spans_of(batch)) do
      if index >= span[2] and index < span[2] + span[3] then
        redis.call('ZADD', first_key(batch, span[1]), k - tonumber(number) * 1000000, index)
      end
    end
  end
end

-- The first of these that waits, or nil. What neither waits nor is picked is dropped.
local function first_waiting(batch, model)
  for _, index in ipairs(redis.call('ZRANGE', first_key(batch, model), 0, -1)) do
    local letter = letter_of(batch, index)
    if letter == 'w' then return tonumber(index) end
    if letter ~= 'p' then redis.call('ZREM', first_key(batch, model), index) end
  end
end

-- The next item of this model that waits, or nil. The cursors move up to it.
local function next_waiting(batch, model)
  local first = first_waiting(batch, model)
  if first then return first end
  for k, span in ipairs(spans_of(batch)) do
    if span[1] == model then
      local last = span[2] + span[3]
      local cursor = tonumber(redis.call('HGET', batch_key(batch), 'cursor:' .. k) or span[2])
      local look = 64 -- most often the very next one waits; behind those that do not, look further each time
      while cursor < last do
        local stop = math.min(cursor + look, last)
        local found = string.find(redis.call('GETRANGE', states_key(batch), cursor, stop - 1), 'w', 1, true)
        cursor = found and cursor + found - 1 or stop
        if found then break end
        look = math.min(8 * look, STATE_PART)
      end
      redis.call('HSET', batch_key(batch), 'cursor:' .. k, cursor)
      if cursor < last then return cursor end
    end
  end
end

-- --- time --------------------------------------------------------------------------------------

-- An owner used so many ms of an editor.
local function used(owner, lane, ms, weight)
  local delta = ms / weight
  if redis.call('ZSCORE', prefix .. 'lanes:' .. lane, owner) then
    redis.call('ZINCRBY', prefix .. 'lanes:' .. lane, delta, owner)
    return
  end
  local own = redis.call('ZSCORE', prefix .. 'clock:' .. lane, owner) or redis.call('GET', prefix .. 'tide:' .. lane) or 0
  redis.call('ZADD', prefix .. 'clock:' .. lane, own + delta, owner)
end

local function average(name, ms)
  local before = redis.call('HGET', prefix .. 'speeds', name)
  redis.call('HSET', prefix .. 'speeds', name, before and 0.8 * before + 0.2 * ms or ms)
end

-- A claimed step was `done`, or failed: note how long an editor worked, or how long the job was with another seat. How long a
-- step takes is known of those that were done only.
local function measure(id, queue, done)
  local claimed, entered = fields(id, 'claimed_ms', 'entered_ms')
  if not claimed or not entered then return end
  if done and queue ~= CONTROL then time_step(id, now - claimed) end
  if draws(queue) then
    redis.call('HINCRBYFLOAT', job_key(id), 'editor_ms', math.max(0, now - claimed))
    if done then redis.call('HINCRBY', job_key(id), 'editor_steps', 1) end
  elseif queue ~= CONTROL then
    redis.call('HINCRBYFLOAT', job_key(id), 'other_ms', math.max(0, now - entered))
  end
end

-- The job has ended: what its owner owes for it, and what the next may take.
local function settle(id)
  local model, owner, editor_ms, steps, other_ms, owed, lane =
    fields(id, 'model', 'owner', 'editor_ms', 'editor_steps', 'other_ms', 'owed', 'lane')
  local ms, count, batch = tonumber(editor_ms or 0), tonumber(steps or 0), fields(id, 'batch')
  if not model or model == '' or (ms == 0 and not owed) then return end
  local weight = batch and tonumber(redis.call('HGET', batch_key(batch), 'weight') or 1) or 1
  if count > 0 then
    average(model .. '|step', ms / count)
    average(model .. '|other', tonumber(other_ms or 0) / count)
    average(model .. '|brief', ms)
    time_job(id, count)
  end
  if batch and redis.call('EXISTS', batch_key(batch)) == 1 then
    redis.call('HINCRBY', batch_key(batch), 'pace_n', 1)
    redis.call('HINCRBYFLOAT', batch_key(batch), 'pace_ms', ms)
  end
  used(owner, lane or model, ms - tonumber(owed or 0), weight)
  redis.call('HSET', job_key(id), 'owed', ms) -- so that a job that goes on later pays for the rest only
end

-- --- notices -----------------------------------------------------------------------------------

local function put_out(about)
  about.at_ms = now
  redis.call('RPUSH', prefix .. 'outbox', cjson.encode(about))
end

-- Tell of a transition of a batch, once for each mark. It goes with the script that makes it, or not at all.
local function announce(batch, event, mark)
  local key = batch_key(batch)
  if redis.call('HGET', key, 'told_' .. event) == tostring(mark) then return end
  redis.call('HSET', key, 'told_' .. event, mark)
  local words = redis.call('HMGET', key, 'owner', 'title', 'total', 'n_w', 'n_p', 'n_f', 'n_d', 'n_u', 'n_x', 'n_c', 'n_k')
  local owner, title, total, w, p, f, d, u, x, c, k = unpack(words)
  put_out({event = 'batch.' .. event, mark = tostring(mark), id = batch, owner = owner, title = title,
    total = tonumber(total), waiting = w + p, running = tonumber(f), done = tonumber(d), unmet = tonumber(u),
    failed = tonumber(x), cancelled = c + k})
end

-- Of how far it is: a batch that is entered again tells it again, under the same marks.
local function announce_progress(batch)
  local total, w, p, f, c = unpack(redis.call('HMGET', batch_key(batch), 'total', 'n_w', 'n_p', 'n_f', 'n_c'))
  if w + p + c < tonumber(total) then announce(batch, 'started', 0) end
  if (w + p + f) * 2 <= tonumber(total) then announce(batch, 'half', 0) end
end

local function announce_job(id)
  local owner = fields(id, 'owner')
  if redis.call('SISMEMBER', prefix .. 'hooked', owner) == 0 then return end
  local status, stop, step, letter, title, batch, custom_id =
    fields(id, 'status', 'stop', 'step', 'letter', 'title', 'batch', 'custom_id')
  put_out({event = 'job.ended', mark = step .. status .. letter, id = id, owner = owner, title = title, status = status,
    stop = stop, batch = batch or '', custom_id = custom_id or ''})
end

-- --- children ----------------------------------------------------------------------------------

-- All its items have ended and all their results are stored.
local function may_close(batch)
  local waiting, picked, flying = unpack(redis.call('HMGET', batch_key(batch), 'n_w', 'n_p', 'n_f'))
  if waiting and waiting + picked + flying == 0 and redis.call('EXISTS', prefix .. 'children:' .. batch) == 0 then
    redis.call('SADD', prefix .. 'closing', batch)
  end
end

-- A member of `admitting`: which pick of which item.
local function pick_of(lane, batch, index, take)
  return table.concat({lane, batch, index, take}, '|')
end

-- The pick of an item has come to its end; gives whether it was still leased.
local function end_pick(lane, batch, index, take)
  if redis.call('ZREM', prefix .. 'admitting', pick_of(lane, batch, index, take)) == 0 then return false end
  redis.call('HINCRBY', prefix .. 'picks', (string.gsub(lane, '!', '')), -1)
  return true
end

-- Ms that a job of this model is likely to take of an editor: what its owner is charged until it has ended.
local function likely(model)
  return tonumber(redis.call('HGET', prefix .. 'speeds', model .. '|brief') or 1000)
end

-- No job came of a pick: its owner is charged nothing.
local function drop_pick(lane, batch, index, take)
  if not end_pick(lane, batch, index, take) then return end
  local owner, weight = unpack(redis.call('HMGET', batch_key(batch), 'owner', 'weight'))
  if owner then used(owner, lane, -likely((string.gsub(lane, '!', ''))), tonumber(weight)) end
end

-- The item of a pick waits again.
local function put_back(lane, batch, index, take)
  drop_pick(lane, batch, index, take)
  if letter_of(batch, index) == 'p' then
    turn(batch, index, 'w')
    look_again(batch, tonumber(index))
    join_lanes(batch)
  end
end

-- The job of a pick is entered: its owner was charged then what a job is likely to take.
local function admitted(id)
  local batch, index, take, model = fields(id, 'batch', 'item', 'take', 'model')
  for _, lane in ipairs({model, model .. '!'}) do
    if end_pick(lane, batch, index, take) then
      set(id, 'lane', lane, 'owed', likely(model))
    end
  end
end

-- The job is in flight: admitted, or back.
local function child_starts(id)
  local batch, index, model = fields(id, 'batch', 'item', 'model')
  if not batch then return end
  redis.call('HSET', prefix .. 'children:' .. batch, index, id)
  redis.call('ZREM', first_key(batch, model), index)
  redis.call('ZREM', prefix .. 'unreported', id)
  if turn(batch, index, 'f') ~= 'f' then redis.call('HINCRBY', prefix .. 'flying', model, 1) end
  announce_progress(batch)
  redis.call('SREM', prefix .. 'closing', batch)
end

local function ended_letter(id)
  local status, stop = fields(id, 'status', 'stop')
  if status == 'failed' then return 'x' end
  if status == 'cancelled' then return 'k' end
  return stop == 'satisfied' and 'd' or 'u'
end

child_ends = function(id)
  settle(id)
  announce_job(id)
  local batch, index, model = fields(id, 'batch', 'item', 'model')
  if not batch or redis.call('EXISTS', batch_key(batch)) == 0 then return end
  local letter = ended_letter(id)
  if turn(batch, index, letter) == 'f' then
    redis.call('HINCRBY', prefix .. 'flying', model, -1)
    redis.call('HINCRBY', prefix .. 'items', letter, 1)
  end
  redis.call('HSET', prefix .. 'children:' .. batch, index, id)
  redis.call('ZADD', prefix .. 'unreported', now, id)
  set(id, 'under', redis.call('HGET', batch_key(batch), 'order'))
  announce_progress(batch)
  join_lanes(batch) -- it may have been at its cap
end

-- Why the step of a job must not run now, or nil: the one place where this is decided. On `control`, where cancelled jobs
-- end, nothing has to wait.
local function due(id)
  local queue, not_before = fields(id, 'queue', 'not_before_ms')
  if queue == CONTROL then return nil end
  if paused(id) or barred(id) or fields(id, 'deferred') == '1' then return 'PARKED' end
  if tonumber(not_before) > now then return 'EARLY' end
  if is_closed(queue) then return 'HELD' end
end

-- Write the message of the job's step, if that may run: from place `first` of arg on, command, key and value, again and again.
local function write_message(id, first)
  if due(id) then return end
  for i = first, #arg, 3 do redis.call(arg[i], arg[i + 1], arg[i + 2]) end
end

-- Tell that its deadline has passed, once for each deadline; gives whether it was told now.
local function tell_late(batch)
  local deadline, told = unpack(redis.call('HMGET', batch_key(batch), 'deadline_ms', 'late_ms'))
  if tonumber(deadline or 0) == 0 or now <= tonumber(deadline) or told then return false end
  redis.call('HSET', batch_key(batch), 'late_ms', now)
  announce(batch, 'late', deadline)
  return true
end

-- Tell that its budget is nearly spent, or spent; once for each budget, and of none that has ended.
tell_budget = function(batch)
  if redis.call('HGET', batch_key(batch), 'ended_ms') ~= '0' then return end
  local share = used_up(batch_key(batch))
  if not share or share < NOTHING_NEW then return end
  local mark = limits_of(batch_key(batch))
  announce(batch, 'budget', mark)
  if share >= 1 then announce(batch, 'held', mark) end
end

-- Enter the batch where its deadline and the end of its windows' instants are looked for.
local function watch_over(batch)
  local deadline, opens, by = unpack(redis.call('HMGET', batch_key(batch), 'deadline_ms', 'opens', 'by'))
  redis.call('ZREM', prefix .. 'deadlines', batch)
  redis.call('ZREM', prefix .. 'windowed', batch)
  if tonumber(deadline or 0) > 0 then
    if tonumber(deadline) > now then redis.call('HDEL', batch_key(batch), 'late_ms') end
    redis.call('ZADD', prefix .. 'deadlines', deadline, batch)
  end
  if by == '1' then
    redis.call('SADD', prefix .. 'paced', batch)
  else
    redis.call('SREM', prefix .. 'paced', batch)
    redis.call('HDEL', batch_key(batch), 'price')
  end
  if opens and opens ~= '' then redis.call('ZADD', prefix .. 'windowed', string.match(opens, '(%d+)$') or 0, batch) end
end

-- What the price of a render is reckoned from.
local function times_of(batch)
  return cjson.encode(redis.call('HMGET', batch_key(batch), 'deadline_ms', 'by', 'windows'))
end

-- Write terms of the batch: from place `first` of arg on, field and value ('' for none), again and again.
local function set_terms(batch, first)
  local before = times_of(batch)
  for i = first, #arg, 2 do
    if arg[i + 1] == '' then
      redis.call('HDEL', batch_key(batch), arg[i])
    else
      redis.call('HSET', batch_key(batch), arg[i], arg[i + 1])
    end
  end
  -- The price moves as items end. So it would stay at that of the old deadline for all that is made until then.
  if times_of(batch) ~= before then redis.call('HDEL', batch_key(batch), 'pace') end
  watch_over(batch)
  tell_budget(batch)
end

-- Let the parked jobs of a batch (or 'jobs') go on that nothing stops any more.
local function unpark(which)
  for _, id in ipairs(redis.call('SMEMBERS', prefix .. 'parked:' .. which)) do
    if not broken(id) and not stopped(id) then
      local queue, not_before = fields(id, 'queue', 'not_before_ms')
      leave_parking(id)
      set(id, 'entered_ms', now) -- while it was paused it waited for no seat
      wait(id, queue, 0)
    end
  end
end

-- Ask a job to cancel. Gives the hint to send, or nil.
local function cancel_job(id)
  local status, lease = fields(id, 'status', 'lease_ms')
  if (status ~= 'queued' and status ~= 'running') or broken(id) then return nil end
  set(id, 'cancel', 1)
  if status == 'running' then
    if tonumber(lease) > now then return nil end
    lease_died(id)
    if fields(id, 'status') ~= 'queued' then return nil end
  else
    leave(id)
    to_control(id, now)
  end
  return hint(id)
end
