-- arg: how many batches at most, a job that is asked about ('' for none), and batches that are looked at in any case. What a
-- forecast is made of, see times.lua: {now, members of `serving` with their processes, capacity by queue, what was measured by
-- "<model>|<size>", batches at work, batches that came in the last day, other jobs at work, terms of owners and models, the
-- job}. All are lists, as scripts can give no maps. Of a job that is asked about only those that go before it are told.
if wiped() then return 'wiped' end
local most, job = tonumber(arg[1]), arg[2]

local function serving()
  local found = {}
  for _, member in ipairs(redis.call('ZRANGEBYSCORE', prefix .. 'serving', '(' .. string.format('%.0f', now), '+inf')) do
    local worker = string.match(member, '|(.*)$')
    local out = redis.call('HGET', worker_key(worker), 'quarantined_ms')
    if not out or out == '0' then
      found[#found + 1] = {member, redis.call('HGET', prefix .. 'processes', worker) or '1'}
    end
  end
  return found
end

local function capacity()
  local found = {}
  for _, queue in ipairs(redis.call('SMEMBERS', prefix .. 'queues')) do
    found[#found + 1] = {queue, redis.call('LRANGE', prefix .. 'capacity:' .. queue, 0, -1)}
  end
  return found
end

local function measured()
  redis.call('ZREMRANGEBYSCORE', prefix .. 'timed', '-inf', now - 1000 * MONTH_S)
  local found = {}
  for _, what in ipairs(redis.call('ZREVRANGE', prefix .. 'timed', 0, 49)) do
    local steps = redis.call('HGETALL', prefix .. 'steps:' .. what)
    local times = {}
    for i = 1, #steps, 2 do
      times[#times + 1] = {steps[i], redis.call('LRANGE', prefix .. 'times:' .. steps[i] .. '|' .. what, 0, -1)}
    end
    found[#found + 1] = {what, steps, times, redis.call('LRANGE', prefix .. 'done:' .. what, 0, -1)}
  end
  return found
end

-- Of a job at work: model, size, how many steps of an editor it has behind it, the kind of its step, and its status.
local function standing_at(id)
  local model, size, steps, kind, status = fields(id, 'model', 'size', 'editor_steps', 'kind', 'status')
  return {model or '', size or '', steps or '0', kind or '', status or ''}
end

local function in_flight(batch)
  local found = {}
  for _, id in ipairs(redis.call('HVALS', prefix .. 'children:' .. batch)) do
    local row = standing_at(id)
    if id ~= job and (row[5] == 'queued' or row[5] == 'running') then found[#found + 1] = row end
  end
  return found
end

local function of_batch(batch)
  return {batch, redis.call('HGETALL', batch_key(batch)), in_flight(batch),
    redis.call('LRANGE', prefix .. 'done:' .. batch, 0, -1), string.format('%.0f', score_of(batch))}
end

-- The batches of which something waits, each owner's in turn, as they are picked.
local function batches()
  local found, seen = {}, {}
  local function add(batch)
    if not seen[batch] and #found < most and redis.call('EXISTS', batch_key(batch)) == 1 then
      seen[batch] = true
      found[#found + 1] = of_batch(batch)
    end
  end
  for i = 3, #arg do add(arg[i]) end
  local lanes = {}
  for _, queue in ipairs(redis.call('SMEMBERS', prefix .. 'queues')) do
    local model = string.match(queue, '^editor%.(.*)$')
    if model then lanes[#lanes + 1], lanes[#lanes + 2] = model .. '!', model end
  end
  for _, member in ipairs(redis.call('ZRANGE', prefix .. 'serving', 0, 200)) do
    local model = string.match(member, '^editor%.(.-)|')
    if model then lanes[#lanes + 1], lanes[#lanes + 2] = model .. '!', model end
  end
  for _, lane in ipairs(lanes) do
    for _, owner in ipairs(redis.call('ZRANGE', prefix .. 'lanes:' .. lane, 0, most)) do
      for _, batch in ipairs(redis.call('ZRANGE', prefix .. 'lane:' .. lane .. ':' .. owner, 0, most)) do add(batch) end
    end
  end
  -- In no lane are those that are all in flight, at their cap, or wait for a window or a budget.
  for _, batch in ipairs(redis.call('ZREVRANGE', prefix .. 'batches', 0, most)) do
    local waiting, flying, picked = unpack(redis.call('HMGET', batch_key(batch), 'n_w', 'n_f', 'n_p'))
    if (tonumber(waiting) or 0) + (tonumber(flying) or 0) + (tonumber(picked) or 0) > 0 then add(batch) end
  end
  return found
end

local function arrivals()
  local found = {}
  local since = string.format('%.0f', now - 24 * HOUR)
  for _, batch in ipairs(redis.call('ZREVRANGEBYSCORE', prefix .. 'batches', '+inf', since, 'LIMIT', 0, most)) do
    local owner, created, total = unpack(redis.call('HMGET', batch_key(batch), 'owner', 'created_ms', 'total'))
    if owner then found[#found + 1] = {batch, owner, created, total} end
  end
  return found
end

-- When it came, its class of priority, and whether it has taken a step.
local function place_of(id)
  local created, priority, step = fields(id, 'created_ms', 'priority', 'step')
  return tonumber(created or 0), math.floor(tonumber(priority or 0) / 3), (step or '0') ~= '0'
end

-- What has begun goes before what has not; of these the class of priority decides, then who came first.
local function goes_before(id)
  if job == '' then return true end
  local created, class, begun = place_of(id)
  local mine, my_class, i_began = place_of(job)
  if id == job or begun or i_began then return id ~= job and begun end
  return class < my_class or (class == my_class and created <= mine)
end

-- How many fresh jobs may go before the one that is asked about, by when they came.
local function fresh_before()
  if job == '' then return redis.call('ZCARD', standing_key('fresh', '')), 'inf' end
  local mine, _, i_began = place_of(job)
  if i_began then return 0, '-inf' end
  return redis.call('ZCOUNT', standing_key('fresh', ''), '-inf', mine), mine
end

-- Jobs of no batch that go before: how many, and the newest of them.
local function others()
  local found, count = {}, 0
  for _, standing in ipairs({'fresh', 'begun'}) do
    local number, till = redis.call('ZCARD', standing_key(standing, '')), math.huge
    if standing == 'fresh' then number, till = fresh_before() end
    count = count + number
    for _, id in ipairs(redis.call('ZREVRANGE', standing_key(standing, ''), 0, most)) do
      local counted = place_of(id) <= tonumber(till)
      local wanted = not fields(id, 'batch') and goes_before(id)
      if wanted then found[#found + 1] = standing_at(id) end
      if wanted ~= counted then count = count + (wanted and 1 or -1) end
    end
  end
  return {count, found}
end

-- The job that is asked about, its owner and its batch.
local function asked()
  local owner, batch = fields(job, 'owner', 'batch')
  if job == '' or not owner then return {} end
  return {standing_at(job), owner, batch or ''}
end

-- What settings say of owners and models: {"owner:<name>", flat fields}.
local function terms()
  local found = {}
  for _, name in ipairs(redis.call('SMEMBERS', prefix .. 'ruled')) do
    found[#found + 1] = {name, redis.call('HGETALL', prefix .. 'terms:' .. name)}
  end
  return found
end

return {string.format('%.0f', now), serving(), capacity(), measured(), batches(), arrivals(), others(), terms(),
  asked()}
