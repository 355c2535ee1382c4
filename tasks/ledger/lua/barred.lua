-- arg: job, batch. What lets the job not take its next step or, without a job, lets no item of the batch begin: {what (window,
-- budget, unknown), whose (batch, owner, model), unit of the budget, model}, or {}.
if wiped() then return 'wiped' end
local id, batch = unpack(arg)
local why, till, whose, unit, model
if id ~= '' then
  why, till, whose, unit = barred(id)
  model = fields(id, 'model')
elseif redis.call('EXISTS', batch_key(batch)) == 1 then
  why, till, whose, unit = closed_to_new(batch)
  if not why then
    for _, span in ipairs(spans_of(batch)) do
      if not shut(terms_key('model', span[1])) then return {} end
      why, whose, model = 'window', 'model', span[1]
    end
  end
end
return why and {why, whose, unit or '', model or ''} or {}
