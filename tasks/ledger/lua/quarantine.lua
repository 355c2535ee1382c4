-- arg: worker, why. Until restore: no canary is sent, and no success ends it.
redis.call('HSET', worker_key(arg[1]), 'manual', 1)
note(arg[1], 'why', arg[2], 'quarantined_ms', now)
return 'ok'
