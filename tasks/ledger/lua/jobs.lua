-- arg: owner ('' for all), created from, created before, cursor: created and id, limit, look, statuses, labels ...
-- Gives {created, id} of the cursor for what follows ('' at the end), then records, newest first. At most `look` jobs
-- are looked at, to bound the time that this holds the server.
if wiped() then return 'wiped' end
local owner, low, before, cursor_ms, cursor_id, limit, look, statuses = unpack(arg, 1, 8)
limit, look = tonumber(limit), tonumber(look)

-- Lists of which every wanted job stands in one, and whether what runs its first step is wanted, too: it stands among what
-- waits for that, of which there may be many.
local function of_statuses()
  local names, keys = {}, {}
  for status in string.gmatch(statuses, '[^,]+') do
    names[({queued = 'fresh', running = 'begun'})[status] or status] = true
  end
  for name in pairs(names) do keys[#keys + 1] = standing_key(name, owner) end
  return keys, names.begun and not names.fresh
end

-- The shortest of such lists.
local function shortest()
  local all = {prefix .. (owner == '' and 'created' or 'owner:' .. owner)}
  if redis.call('EXISTS', prefix .. 'indexed') == 0 then return all end
  local choices, best, least, leased = {all}, nil, nil, false
  for i = 9, #arg do choices[#choices + 1] = {label_key(arg[i], owner)} end
  if statuses ~= '' then choices[#choices + 1], leased = of_statuses() end
  for _, keys in ipairs(choices) do
    local size = 0
    for _, key in ipairs(keys) do size = size + redis.call('ZCARD', key) end
    if not least or size < least then best, least = keys, size end
  end
  return best, leased and best == choices[#choices]
end

local function newer(a, b)
  if a[1] ~= b[1] then return tonumber(a[1]) > tonumber(b[1]) end
  return a[2] > b[2]
end

-- What runs its first step, of every queue.
local function add_beginning(rows)
  for _, queue in ipairs(redis.call('SMEMBERS', prefix .. 'queues')) do
    for _, id in ipairs(redis.call('ZRANGEBYSCORE', prefix .. 'leased:' .. queue, '(' .. string.format('%.0f', now), '+inf')) do
      local whose, created, step = fields(id, 'owner', 'created_ms', 'step')
      local early = created and before ~= '' and tonumber(created) >= tonumber(before)
      local late = created and low ~= '' and tonumber(created) < tonumber(low)
      if step == '0' and (owner == '' or owner == whose) and not early and not late then rows[#rows + 1] = {created, id} end
    end
  end
end

-- {created, id} of the newest in these lists, one more than can be looked at.
local function newest(keys, leased)
  local high, rows = before == '' and '+inf' or '(' .. before, {}
  local from_cursor = cursor_id ~= '' and (before == '' or tonumber(cursor_ms) < tonumber(before))
  for _, key in ipairs(keys) do
    -- Of jobs with the cursor's own time some may stand before it: they don't count as looked at.
    local same = from_cursor and redis.call('ZCOUNT', key, cursor_ms, cursor_ms) or 0
    local found = redis.call('ZREVRANGEBYSCORE', key, from_cursor and cursor_ms or high, low == '' and '-inf' or low,
      'WITHSCORES', 'LIMIT', 0, look + same + 1)
    for i = 1, #found, 2 do rows[#rows + 1] = {found[i + 1], found[i]} end
  end
  if leased then add_beginning(rows) end
  if leased or #keys > 1 then table.sort(rows, newer) end
  return rows
end

local function behind(created, id)
  if cursor_id == '' then return true end
  local a, b = tonumber(created), tonumber(cursor_ms)
  return a < b or (a == b and id < cursor_id)
end

local function wanted(id)
  if statuses == '' and #arg == 8 then return true end
  local status, lease, step, labels = fields(id, 'status', 'lease_ms', 'step', 'labels')
  if status == 'running' and tonumber(lease) <= now then status = 'queued' end
  if status == 'queued' and tonumber(step) > 0 then status = 'running' end -- it waits between two steps
  if statuses ~= '' and not string.find(',' .. statuses .. ',', ',' .. status .. ',', 1, true) then return false end
  for i = 9, #arg do
    if not string.find(',' .. (labels or '') .. ',', ',' .. arg[i] .. ',', 1, true) then return false end
  end
  return true
end

local keys, leased = shortest()
local rows = newest(keys, leased)
local found, looked = {{'', ''}}, 0
for i, row in ipairs(rows) do
  local created, id = row[1], row[2]
  if behind(created, id) then
    looked = looked + 1
    if broken(id) then
      for _, key in ipairs(keys) do redis.call('ZREM', key, id) end
    elseif wanted(id) then found[#found + 1] = view(id) end
    if (#found > limit or looked == look) and i < #rows then
      found[1] = {created, id}
    end
    if #found > limit or looked == look then break end
  end
end
return found
