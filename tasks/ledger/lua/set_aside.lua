-- arg: id. Its record can't be read.
set_aside(arg[1])
return 'ok'
