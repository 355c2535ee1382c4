-- arg: id, number, kind (pause, resume or priority), priority. Gives the hint to send, or {}. An order that came before the
-- last one of its kind is void.
if wiped() then return 'wiped' end
local id, number, kind, priority = unpack(arg)
local status, queue = fields(id, 'status', 'queue')
if (status ~= 'queued' and status ~= 'running') or broken(id) then return {} end
local last = kind == 'priority' and 'priority_order' or 'pause_order'
if tonumber(number) <= (tonumber(fields(id, last)) or 0) then return {} end
set(id, last, number)
if kind == 'priority' then
  set(id, 'priority', priority)
  -- Its message lies on the list of the old priority. One on the new list, too, does no harm.
  return status == 'queued' and not due(id) and hint(id) or {}
end
set(id, 'paused', kind == 'pause' and 1 or 0)
if status ~= 'queued' or queue == CONTROL then return {} end
leave(id)
wait(id, queue, now) -- parks it, or lets it go on, unless its batch is paused
return kind == 'resume' and not due(id) and hint(id) or {}
