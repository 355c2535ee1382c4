-- When and how much: windows, budgets, and the first something of each item. Read after holds.lua, before batch.lua.
--
-- Three hashes rule a job: batch:<id>, terms:owner:<name> and terms:model:<name>. Of each of them may be set:
--   opens                       instants "<open>-<close> ...", in ms: outside them nothing begins; '' or none: always open
--   at_close                    hold: outside them nothing that has begun takes a step either; else that ends
--   limit_renders, limit_gpu_ms, limit_money   a budget; spent_<unit> is what is used of it (money in millionths)
--   period                      of an owner: when his budget began to count
--   per_render, per_gpu_hour    of a model: its price, in millionths
-- The batch's own are written by orders, the others come from settings (rules.lua).
--
-- <prefix>ruled                 set: "owner:<name>", "model:<name>": those of the settings
-- <prefix>asleep                zset: batches that must not go on, and 'jobs' (those of no batch), by when to look again
-- <prefix>windowed              zset: batches with windows, by when their instants run out
-- <prefix>deadlines             zset: batches that have not ended and are not late, by their deadline
-- <prefix>paced                 set: batches whose deadline sets the price of a render
-- <prefix>uncosted:<batch>      set: its jobs that were, or are, in `uncosted`
-- <prefix>deferred:<model>:<b>  zset: jobs of a batch that spreads, which have a picture and wait until each item has one
local ALWAYS_LOOK, LOOK_SOON = 60000, 5000 -- ms until what sleeps is looked at again
local MOST_DEFERRED = 5000 -- of a batch: they are kept in Redis
local UNITS = {'renders', 'gpu_ms', 'money'}
local NOTHING_NEW = 0.9 -- of a budget

local function of_batch(batch)
  return prefix .. 'batch:' .. batch
end

local function terms_key(kind, name)
  return prefix .. 'terms:' .. kind .. ':' .. (name or '')
end

-- Nil while it is open; else until when it is shut.
local function shut(key)
  local opens = redis.call('HGET', key, 'opens')
  if not opens or opens == '' then return nil end
  for first, last in string.gmatch(opens, '(%d+)-(%d+)') do
    if now < tonumber(last) then return now < tonumber(first) and tonumber(first) or nil end
  end
  return now + ALWAYS_LOOK -- the reconciler did not come to write later ones
end

-- The share of its budget that is used, and of which unit; nil without a budget.
local function used_up(key)
  local share, which
  local limits = redis.call('HMGET', key, 'limit_renders', 'limit_gpu_ms', 'limit_money')
  if not limits[1] and not limits[2] and not limits[3] then return nil end
  local spent = redis.call('HMGET', key, 'spent_renders', 'spent_gpu_ms', 'spent_money')
  for i, unit in ipairs(UNITS) do
    local limit = tonumber(limits[i] or 0)
    local here = limit > 0 and tonumber(spent[i] or 0) / limit
    if here and here >= (share or 0) then share, which = here, unit end
  end
  return share, which
end

-- All limits of a budget in one word. Which unit is used most may change from step to step, the budget does not.
local function limits_of(key)
  local found = {}
  for _, unit in ipairs(UNITS) do
    local limit = redis.call('HGET', key, 'limit_' .. unit)
    if limit then found[#found + 1] = unit .. ' ' .. limit end
  end
  return table.concat(found, ' ')
end

-- What jobs of the batch cost before a wipe is not known yet.
local function spend_unknown(batch)
  local key = prefix .. 'uncosted:' .. batch
  while true do
    local id = redis.call('SRANDMEMBER', key)
    if not id then return false end
    if redis.call('SISMEMBER', prefix .. 'uncosted', id) == 1 then return true end
    redis.call('SREM', key, id)
  end
end

-- Why a budget lets nothing on that would use more than this share of it, and until when.
local function over_budget(batch, owner, share)
  local used, unit
  if batch then
    used, unit = used_up(of_batch(batch))
    if used and spend_unknown(batch) then return 'unknown', now + LOOK_SOON, 'batch', unit end
    if used and used >= share then return 'budget', now + LOOK_SOON, 'batch', unit end
  end
  used, unit = used_up(terms_key('owner', owner))
  if used and used >= share then return 'budget', now + LOOK_SOON, 'owner', unit end
end

local function at_close(key)
  return redis.call('HGET', key, 'at_close')
end

-- Why a job must not take its next step: what, until when, whose (batch, owner, model), and the unit of a budget.
-- `model` nil: none of the models is asked. `begun`: it has taken one.
local function barred_as(batch, owner, model, begun)
  local keys = {batch and {'batch', of_batch(batch)} or {}, {'owner', terms_key('owner', owner)}}
  if model and model ~= '' then keys[3] = {'model', terms_key('model', model)} end
  for _, each in ipairs(keys) do
    local till = each[2] and shut(each[2])
    if till and not (begun and at_close(each[2]) ~= 'hold') then return 'window', till, each[1] end
  end
  return over_budget(batch, owner, 1)
end

barred = function(id)
  local batch, owner, model, step, queue = fields(id, 'batch', 'owner', 'model', 'step', 'queue')
  if queue == CONTROL then return nil end
  local begun = step ~= '0'
  local why, till, whose, unit = barred_as(batch, owner, model, begun)
  -- Only editors use a budget up: what they drew before it was spent is looked at, and ends if that was all.
  if why == 'budget' and begun and not draws(queue) then return nil end
  return why, till, whose, unit
end

-- Why no item of the batch may begin; as `barred_as`.
local function closed_to_new(batch)
  local owner = redis.call('HGET', of_batch(batch), 'owner')
  for _, each in ipairs({{'batch', of_batch(batch)}, {'owner', terms_key('owner', owner)}}) do
    local till = shut(each[2])
    if till then return 'window', till, each[1] end
  end
  return over_budget(batch, owner, NOTHING_NEW)
end

-- Look again then whether a batch, or 'jobs', may go on; a patch or new settings may let it on before.
local function sleep(which, till)
  redis.call('ZADD', prefix .. 'asleep', math.min(till, now + ALWAYS_LOOK), which)
end

fall_asleep = function(id, till)
  sleep(fields(id, 'batch') or 'jobs', till)
end

-- --- what is spent ----------------------------------------------------------------------------

local function count_spent(key, renders, gpu_ms, money)
  for unit, amount in pairs({renders = renders, gpu_ms = gpu_ms, money = money}) do
    if amount ~= 0 then redis.call('HINCRBY', key, 'spent_' .. unit, string.format('%.0f', amount)) end
  end
end

-- In millionths.
local function money_of(model, renders, gpu_ms)
  local per_render, per_hour = unpack(redis.call('HMGET', terms_key('model', model), 'per_render', 'per_gpu_hour'))
  return renders * (per_render or 0) + gpu_ms * (per_hour or 0) / 3600000
end

-- The job used this much more: its batch pays, and its owner if `whole`.
local function spend(id, renders, gpu_ms, whole)
  if renders == 0 and gpu_ms == 0 then return end
  local batch, owner, model = fields(id, 'batch', 'owner', 'model')
  local money = money_of(model, renders, gpu_ms)
  if batch and redis.call('EXISTS', of_batch(batch)) == 1 then
    count_spent(of_batch(batch), renders, gpu_ms, money)
    tell_budget(batch)
  end
  local owned = terms_key('owner', owner)
  if whole and redis.call('EXISTS', owned) == 1 then count_spent(owned, renders, gpu_ms, money) end
end

-- As `spend`, of the flat JSON of a cost, or ''.
spend_cost = function(id, cost, whole)
  if cost == '' then return end
  local told = cjson.decode(cost)
  spend(id, tonumber(told.renders or 0), tonumber(told.gpu_ms or 0), whole)
end

-- --- the first something of each item ---------------------------------------------------------

local function deferred_key(batch, model)
  return prefix .. 'deferred:' .. model .. ':' .. batch
end

local function any_deferred(batch, model)
  return redis.call('EXISTS', deferred_key(batch, model)) == 1
end

-- The job has a picture, and others of its batch have nothing yet: keep it. It is in flight for no editor meanwhile.
defer = function(id)
  local batch, drawn, deep, model = fields(id, 'batch', 'drawn', 'deep', 'model')
  if not batch or drawn ~= '1' or deep == '1' then return false end
  local spread, waiting, picked, deferred =
    unpack(redis.call('HMGET', of_batch(batch), 'spread', 'n_w', 'n_p', 'n_deferred'))
  if spread ~= '1' or waiting + picked == 0 or tonumber(deferred or 0) >= MOST_DEFERRED then return false end
  redis.call('ZADD', deferred_key(batch, model), now, id)
  redis.call('HINCRBY', of_batch(batch), 'n_deferred', 1)
  redis.call('HINCRBY', prefix .. 'flying', model, -1)
  set(id, 'deferred', 1)
  return true
end

undefer = function(id)
  local batch, model, deferred = fields(id, 'batch', 'model', 'deferred')
  if deferred ~= '1' then return end
  redis.call('ZREM', deferred_key(batch, model), id)
  redis.call('HINCRBY', of_batch(batch), 'n_deferred', -1)
  redis.call('HINCRBY', prefix .. 'flying', model, 1)
  set(id, 'deferred', 0)
end

-- It has a picture that was looked at: what it does from now on goes deeper.
local function note_picture(id, summary)
  local told = decoded(summary)
  if type(told.image) == 'string' and type(told.coverage) == 'number' then set(id, 'drawn', 1) end
end

-- Let the first deferred job go on; gives whether there was one.
local function go_deeper(batch, model)
  while true do
    local id = redis.call('ZRANGE', deferred_key(batch, model), 0, 0)[1]
    if not id then return false end
    if broken(id) then
      redis.call('ZREM', deferred_key(batch, model), id)
    else
      undefer(id)
      set(id, 'deep', 1)
      wait(id, fields(id, 'queue'), 0)
      return true
    end
  end
end
