-- arg: job, batch. What lets the job not take its next step or, without a job, lets no item of the batch begin: {what (window,
-- budget, unknown), whose (batch, owner, model), unit of the budget, model}, or {}.
if wiped() then return 'wiped' end
local id, batch = unpack(arg)
local why, till, whose, unit, model
if id ~= '' then
  why, till, whose, unit = barred(id)
  model = fields(id, 'model')
elseif redis.call('EXISTS', batch_key(batch)) == 1 then
  why, whose, unit, model = bar_of_batch(batch)
end
return why and {why, whose, unit or '', model or ''} or {}
