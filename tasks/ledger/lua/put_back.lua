-- arg: lane, batch, index, take. The caller makes no job of its pick.
if wiped() then return 'wiped' end
put_back(unpack(arg))
return 'OK'
