-- arg: worker, ttl_ms, the queue that it draws from ('' if it has not begun), editors' queues ... Gives {renders that wait,
-- workers that draw from it} for each queue. On a held queue nothing waits that could be drawn.
local drawing, worker, queue = prefix .. 'drawing', arg[1], arg[3]
if queue ~= '' then draws_from(worker, queue, arg[2]) end
redis.call('ZREMRANGEBYSCORE', drawing, '-inf', now)
local members, found = redis.call('ZRANGE', drawing, 0, -1), {}
for i = 4, #arg do
  local start, workers = arg[i] .. '|', 0
  for _, member in ipairs(members) do
    if string.sub(member, 1, #start) == start then workers = workers + 1 end
  end
  found[#found + 1] = {is_held(arg[i]) and 0 or redis.call('ZCARD', prefix .. 'waiting:' .. arg[i]), workers}
end
return found
