-- arg: owner ('' for all), created from, created before, cursor: created and id, limit, look, statuses, labels ...
-- Gives {created, id} of the cursor for what follows ('' at the end), then records, newest first. At most `look` jobs
-- are looked at, to bound the time that this holds the server.
if wiped() then return 'wiped' end
local owner, low, before, cursor_ms, cursor_id, limit, look, statuses = unpack(arg, 1, 8)
limit, look = tonumber(limit), tonumber(look)
local index = prefix .. (owner == '' and 'created' or 'owner:' .. owner)
local high, same = before == '' and '+inf' or '(' .. before, 0
if cursor_id ~= '' and (before == '' or tonumber(cursor_ms) < tonumber(before)) then
  -- Of jobs with the cursor's own time some may stand before it: they don't count as looked at.
  high, same = cursor_ms, redis.call('ZCOUNT', index, cursor_ms, cursor_ms)
end
local rows = redis.call('ZREVRANGEBYSCORE', index, high, low == '' and '-inf' or low, 'WITHSCORES',
  'LIMIT', 0, look + same + 1)

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

local found, looked = {{'', ''}}, 0
for i = 1, #rows, 2 do
  local id, created = rows[i], rows[i + 1]
  if behind(created, id) then
    looked = looked + 1
    if broken(id) then
      redis.call('ZREM', index, id)
    elseif wanted(id) then found[#found + 1] = view(id) end
    if (#found > limit or looked == look) and i + 2 <= #rows then
      found[1] = {created, id}
    end
    if #found > limit or looked == look then break end
  end
end
return found
