-- arg: batch, number, kind, items (JSON; [] for all), what (letters that a retry takes), rounds, priority, front, most, title
-- ('' for what a patch leaves), fields of terms and values ... Gives the hints of cancelled children, or 'old' when it was applied before, or 'unknown'.
if wiped() then return 'wiped' end
local batch, number, kind, json, what, rounds, priority, front, most, title = unpack(arg)
local key, hints = batch_key(batch), {}
if redis.call('EXISTS', key) == 0 then return 'unknown' end
if tonumber(number) <= tonumber(redis.call('HGET', key, 'order')) then return 'old' end
local total = tonumber(redis.call('HGET', key, 'total'))

-- Calls `act` with index and letter of each named item that stands in one of these letters.
local function each(letters, act)
  for _, index in ipairs(cjson.decode(json)) do
    local letter = letter_of(batch, index)
    if letter ~= '' and string.find(letters, letter, 1, true) then act(index, letter) end
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
  if tonumber(redis.call('HGET', key, 'ended_ms')) > 0 then return end
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

-- The try that follows on one of an item that stood so; nothing when it was tried often enough.
local function next_try(letter, take, generation)
  if take >= 90 then return nil end
  if letter == 'x' then return take + 1, generation, 0, 'r' end
  if letter == 'c' then return take + 1, generation, 0, 's' end
  return take + 1, generation + 1, tonumber(rounds), 'u'
end

-- Let all of a part of the states wait again that may; gives the index of the first. A hundred thousand must not take a second.
local function retry_part(start)
  local states = redis.call('GETRANGE', states_key(batch), start, start + STATE_PART - 1)
  local tries = redis.call('GETRANGE', takes_key(batch), 4 * start, 4 * (start + #states) - 1)
  tries = tries .. string.rep('\0', 4 * #states - #tries)
  local new_states, new_tries, counts, at, done, first = {}, {}, {}, 0, 0, nil
  while true do
    at = string.find(states, '[' .. what .. ']', at + 1)
    if not at then break end
    local letter, take, generation = string.sub(states, at, at), try_in(string.sub(tries, 4 * at - 3, 4 * at))
    local again, following, more, mode = next_try(letter, take, generation)
    if again then
      new_states[#new_states + 1] = string.sub(states, done + 1, at - 1) .. 'w'
      new_tries[#new_tries + 1] = string.sub(tries, 4 * done + 1, 4 * at - 4) .. chars_of(again, following, more, mode)
      counts[letter] = (counts[letter] or 0) + 1
      done, first = at, first or start + at - 1
    end
  end
  if not first then return nil end
  redis.call('SETRANGE', states_key(batch), start, table.concat(new_states))
  redis.call('SETRANGE', takes_key(batch), 4 * start, table.concat(new_tries))
  for letter, count in pairs(counts) do
    redis.call('HINCRBY', key, 'n_' .. letter, -count)
    redis.call('HINCRBY', key, 'n_w', count)
  end
  return first
end

-- As `retry_part`, of the items that are named, or of all.
local function let_wait()
  local first
  if what == '' then return nil end
  if #cjson.decode(json) == 0 then
    for start = 0, total - 1, STATE_PART do
      local found = retry_part(start)
      first = first or found
    end
    return first
  end
  each(what, function(index, letter)
    local take, generation = try_of(batch, index)
    local again, following, more, mode = next_try(letter, take, generation)
    if again then
      set_try(batch, index, again, following, more, mode)
      turn(batch, index, 'w')
      first = math.min(first or index, index)
    end
  end)
  return first
end

local function retry()
  local first = let_wait()
  if not first then return end
  for k, span in ipairs(spans_of(batch)) do
    local cursor = tonumber(redis.call('HGET', key, 'cursor:' .. k))
    redis.call('HSET', key, 'cursor:' .. k, math.max(span[2], math.min(cursor, first)))
  end
  if redis.call('HGET', key, 'state') == 'cancelled' then redis.call('HSET', key, 'state', 'open') end
  redis.call('HSET', key, 'ended_ms', 0, 'retried', number)
  redis.call('SREM', prefix .. 'closing', batch)
  redis.call('ZREM', prefix .. 'past', batch)
  tell_budget(batch)
  watch_over(batch)
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
  set_terms(batch, 11)
  join_lanes(batch)
  unpark(batch)
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

local function first()
  local waiting = {}
  each('wp', function(index) waiting[#waiting + 1] = index end)
  put_first(batch, waiting, number)
end

local acts = {first = first, pause = pause, resume = resume, cancel = cancel, retry = retry, patch = patch}
acts[kind]()
redis.call('HSET', key, 'order', number)
return hints
