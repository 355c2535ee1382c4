-- arg: lane, how many, lease ms. Gives {batch, index, take, generation, rounds, mode, order, price} of the items that are next: the
-- owner who had least of his share, his batches in order, and of each its items in order. Each is leased to the caller. Of a
-- batch that spreads, jobs go deeper once no item waits: these need no caller.
if wiped() then return 'wiped' end
local lane, count, lease = arg[1], tonumber(arg[2]), tonumber(arg[3])
local model = string.gsub(lane, '!', '')
local lanes = prefix .. 'lanes:' .. lane
local picks, deepened = {}, 0
if shut(terms_key('model', model)) then return {} end
for _ = 1, 1000 do
  if #picks + deepened >= count then break end
  local owner, own = unpack(redis.call('ZRANGE', lanes, 0, 0, 'WITHSCORES'))
  if not owner then break end
  local batch = redis.call('ZRANGE', prefix .. 'lane:' .. lane .. ':' .. owner, 0, 0)[1]
  local begin, deepen
  if batch then begin, deepen = may_begin(batch) end
  local index = begin and next_waiting(batch, model)
  if not batch then
    redis.call('ZREM', lanes, owner)
  elseif not index and deepen and not capped(batch) and go_deeper(batch, model) then
    deepened = deepened + 1
    if capped(batch) then leave_lanes(batch) end
  elseif not index then
    leave_lane(batch, lane)
  else
    local take, generation, rounds, mode = try_of(batch, index)
    turn(batch, index, 'p')
    redis.call('ZADD', prefix .. 'admitting', now + lease, pick_of(lane, batch, index, take))
    redis.call('HINCRBY', prefix .. 'picks', model, 1)
    redis.call('SET', prefix .. 'tide:' .. lane, own)
    local weight, order, price = unpack(redis.call('HMGET', batch_key(batch), 'weight', 'order', 'price'))
    used(owner, lane, likely(model), tonumber(weight))
    picks[#picks + 1] = {batch, index, take, generation, rounds, mode, order, price or ''}
    if capped(batch) then leave_lanes(batch) end
  end
end
return picks
