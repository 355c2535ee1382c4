-- 1 when the ledger serves and takes writes.
redis.call('SET', prefix .. 'ready', now, 'PX', 60000)
return wiped() and 0 or 1
