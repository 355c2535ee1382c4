-- 1 when every job is listed under labels and standing.
return redis.call('EXISTS', prefix .. 'indexed')
