-- arg: batch, number, kind, items (JSON; [] for all), what (letters that a retry takes), rounds, priority, front, most, title
-- ('' for what a patch leaves). Gives the hints of cancelled children, or 'old' when it was applied before, or 'unknown'.
if wiped() then return 'wiped' end
local batch, number, kind, json, what, rounds, priority, front, most, title = unpack(arg)
local key, hints = batch_key(batch), {}
if redis.call('EXISTS', key) == 0 then return 'unknown' end
if tonumber(number) <= tonumber(redis.call('HGET', key, 'order')) then return 'old' end
local total = tonumber(redis.call('HGET', key, 'total'))

-- Calls `act` with index and letter of each item that is meant and stands in one of these letters.
local function each(letters, act)
  local items = cjson.decode(json)
  if #items > 0 then
    for _, index in ipairs(items) do
      local letter = letter_of(batch, index)
      if letter ~= '' and string.find(letters, letter, 1, true) then act(index, letter) end
    end
    return
  end
  for first = 0, total - 1, STATE_PART do
    local part, at = redis.call('GETRANGE', states_key(batch), first, first + STATE_PART - 1), 0
    while true do
      at = string.find(part, '[' .. letters .. ']', at + 1)
      if not at then break end
      act(first + at - 1, string.sub(part, at, at))
    end
  end
end

-- All that wait, at once: a million of them must not take a second.
local function cancel_waiting()
  for _, letter in ipairs({'w', 'p'}) do
    local count = 0
    for first = 0, total - 1, STATE_PART do
      local part, here = string.gsub(
        redis.call('GETRANGE', states_key(batch), first, first + STATE_PART - 1), letter, 'c')
      if here > 0 then redis.call('SETRANGE', states_key(batch), first, part) end
      count = count + here
    end
    if count > 0 then
      redis.call('HINCRBY', key, 'n_' .. letter, -count)
      redis.call('HINCRBY', key, 'n_c', count)
    end
  end
end

local function cancel_child(id)
  local sent = cancel_job(id)
  if sent then hints[#hints + 1] = sent end
end

local function cancel()
  if #cjson.decode(json) > 0 then
    each('wp', function(index) turn(batch, index, 'c') end)
    each('f', function(index)
      local id = redis.call('HGET', prefix .. 'children:' .. batch, index)
      if id then cancel_child(id) end
    end)
  else
    redis.call('HSET', key, 'state', 'cancelled')
    cancel_waiting()
    leave_lanes(batch)
    for _, id in ipairs(redis.call('HVALS', prefix .. 'children:' .. batch)) do cancel_child(id) end
  end
  may_close(batch)
end

local function retry()
  local first
  each(what, function(index, letter)
    local take, generation = try_of(batch, index)
    if take < 90 then
      local mode, more = 's', 0
      if letter == 'x' then mode = 'r' end
      if letter == 'u' or letter == 'k' then
        mode, more, generation = 'u', tonumber(rounds), generation + 1
      end
      set_try(batch, index, take + 1, generation, more, mode)
      turn(batch, index, 'w')
      first = math.min(first or index, index)
    end
  end)
  if not first then return end
  for k, span in ipairs(spans_of(batch)) do
    local cursor = tonumber(redis.call('HGET', key, 'cursor:' .. k))
    redis.call('HSET', key, 'cursor:' .. k, math.max(span[2], math.min(cursor, first)))
  end
  if redis.call('HGET', key, 'state') == 'cancelled' then redis.call('HSET', key, 'state', 'open') end
  redis.call('HSET', key, 'ended_ms', 0)
  redis.call('SREM', prefix .. 'closing', batch)
  redis.call('ZREM', prefix .. 'past', batch)
  join_lanes(batch)
end

local function patch()
  leave_lanes(batch)
  if title ~= '' then redis.call('HSET', key, 'title', title) end
  if most ~= '' then redis.call('HSET', key, 'most', most) end
  if priority ~= '' then
    redis.call('HSET', key, 'priority', priority)
    redis.call('HDEL', key, 'front')
    for _, id in ipairs(redis.call('HVALS', prefix .. 'children:' .. batch)) do set(id, 'priority', priority) end
  end
  if front == '1' then redis.call('HSET', key, 'front', -tonumber(number) - now) end
  join_lanes(batch)
end

local function pause()
  if redis.call('HGET', key, 'state') ~= 'open' then return end
  redis.call('HSET', key, 'state', 'paused')
  leave_lanes(batch)
  for _, id in ipairs(redis.call('HVALS', prefix .. 'children:' .. batch)) do
    local status, queue = fields(id, 'status', 'queue')
    if status == 'queued' and queue ~= CONTROL then
      leave(id)
      wait(id, queue, 0)
    end
  end
end

local function resume()
  if redis.call('HGET', key, 'state') ~= 'paused' then return end
  redis.call('HSET', key, 'state', 'open')
  join_lanes(batch)
  unpark(batch)
end

local acts = {pause = pause, resume = resume, cancel = cancel, retry = retry, patch = patch}
acts[kind]()
redis.call('HSET', key, 'order', number)
return hints
