-- arg: id. Gives the hint to send, or {} when there is none.
if wiped() then return 'wiped' end
return cancel_job(arg[1]) or {}
