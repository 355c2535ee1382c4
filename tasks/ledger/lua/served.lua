-- Gives "<queue>|<worker>" for every announcement that holds.
return redis.call('ZRANGEBYSCORE', prefix .. 'serving', '(' .. string.format('%.0f', now), '+inf')
