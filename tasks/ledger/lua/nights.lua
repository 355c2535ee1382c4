-- arg: how many batches at most, the newest first. What people watch of a night: {batches at work by how they stand {name, number,
-- ...}, items that have not ended, items that ended with a picture drawn for them, pictures drawn for these batches, the largest
-- share of a batch's budget that is used ('' without one), {owner, share of his budget} ..., {owner or model, name, 1 while its
-- windows are open} ..., deliveries and transitions that nobody was told of yet, ended items so far by letter {letter, number, ...},
-- batches at work whose deadline has passed}
if wiped() then return 'wiped' end
local stands, left, ended, renders, most, late = {}, 0, 0, 0, '', 0

local function number(words)
  return tonumber(words or 0)
end

local function standing_now(batch, state, waiting)
  if state == 'paused' then return 'paused' end
  if state == 'cancelled' then return 'cancelled' end
  if waiting > 0 then return bar_of_batch(batch) or 'drawing' end
  return barred_as(batch, redis.call('HGET', batch_key(batch), 'owner'), nil, true) or 'drawing'
end

for _, batch in ipairs(redis.call('ZREVRANGE', prefix .. 'batches', 0, arg[1] - 1)) do
  local key = batch_key(batch)
  local state, w, p, f, d, u, x, k, drawn, deadline = unpack(redis.call('HMGET', key,
    'state', 'n_w', 'n_p', 'n_f', 'n_d', 'n_u', 'n_x', 'n_k', 'cost_renders', 'deadline_ms'))
  local waiting, flying = number(w) + number(p), number(f)
  ended, renders = ended + number(d) + number(u) + number(x) + number(k), renders + number(drawn)
  if state and waiting + flying > 0 then
    left = left + waiting + flying
    local standing = standing_now(batch, state, waiting)
    stands[standing] = (stands[standing] or 0) + 1
    if number(deadline) > 0 and now > number(deadline) then late = late + 1 end
    local share = used_up(key)
    if share and (most == '' or share > most) then most = share end
  end
end

local by_standing, budgets, windows = {}, {}, {}
for standing, batches in pairs(stands) do
  by_standing[#by_standing + 1], by_standing[#by_standing + 2] = standing, batches
end
for _, whose in ipairs(redis.call('SMEMBERS', prefix .. 'ruled')) do
  local kind, name = string.match(whose, '^(%a+):(.*)$')
  local share = used_up(terms_key(kind, name))
  if kind == 'owner' and share then budgets[#budgets + 1] = {name, tostring(share)} end
  local opens = redis.call('HGET', terms_key(kind, name), 'opens')
  if opens and opens ~= '' then windows[#windows + 1] = {kind, name, shut(terms_key(kind, name)) and 0 or 1} end
end
local untold = redis.call('ZCARD', prefix .. 'deliveries') + redis.call('LLEN', prefix .. 'outbox')
return {by_standing, left, ended, renders, tostring(most), budgets, windows, untold,
  redis.call('HGETALL', prefix .. 'items'), late}
