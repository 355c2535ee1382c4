-- Gives {dead letters that stand, {what, number, ...}}: what happened since the ledger began, see tally().
return {redis.call('SCARD', prefix .. 'dead'), redis.call('HGETALL', prefix .. 'tallies')}
