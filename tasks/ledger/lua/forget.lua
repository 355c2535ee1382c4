-- arg: age of the end in ms, most, limit. Drops jobs that ended so long ago, and the oldest of more than `most`. Gives how many.
if wiped() then return 'wiped' end
local age, most, limit = unpack(arg)
local ended = prefix .. 'ended'
local old = redis.call('ZRANGEBYSCORE', ended, '-inf', now - age, 'LIMIT', 0, limit)
local too_many = math.min(redis.call('ZCARD', ended) - most, tonumber(limit))
if too_many > #old then old = redis.call('ZRANGE', ended, 0, too_many - 1) end
for _, id in ipairs(old) do
  unlist(id)
  redis.call('DEL', job_key(id))
end
if #old > 0 then redis.call('SET', prefix .. 'older', 1) end
return #old
