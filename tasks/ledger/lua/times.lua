-- What a forecast is made of (tasks/batch/forecast): how long steps took, what ended jobs did, and who served when. Read
-- after holds.lua.
--
-- <prefix>times:<kind>|<model>|<size>  list: ms of the newest steps of this kind, of jobs of this editor's model and size
-- <prefix>done:<model>|<size>   list: "<renders>|<goals>" of the newest ended jobs: steps of an editor, and goals
-- <prefix>done:<batch>          list: the same of a batch
-- <prefix>timed                 zset: "<model>|<size>" by when one of its steps was done last
-- <prefix>steps:<model>|<size>  hash: how many steps of each kind were done, and `jobs` that ended
-- <prefix>processes             hash: of workers with more than one, how many steps each runs at once
-- <prefix>capacity:<queue>      list: "<ms>|<processes>" whenever it changed how many serve the queue; none while it is held
local KEPT = 200
local MONTH_S = 30 * 86400

local function keep(key, value, seconds)
  redis.call('LPUSH', key, value)
  redis.call('LTRIM', key, 0, KEPT - 1)
  redis.call('EXPIRE', key, seconds)
end

-- A step was done in so many ms.
local function time_step(id, ms)
  local kind, model, size = fields(id, 'kind', 'model', 'size')
  if not size or size == '' then return end
  local what = model .. '|' .. size
  keep(prefix .. 'times:' .. kind .. '|' .. what, string.format('%.0f', math.max(0, ms)), MONTH_S)
  redis.call('HINCRBY', prefix .. 'steps:' .. what, kind, 1)
  redis.call('EXPIRE', prefix .. 'steps:' .. what, MONTH_S)
  redis.call('ZADD', prefix .. 'timed', now, what)
end

-- A job has ended after so many steps of an editor.
local function time_job(id, renders)
  local model, size, batch, summary = fields(id, 'model', 'size', 'batch', 'facts')
  if not size or size == '' then return end
  local goals = string.match(summary or '', '"total":(%d+)') or 0
  local did = renders .. '|' .. goals
  keep(prefix .. 'done:' .. model .. '|' .. size, did, MONTH_S)
  redis.call('HINCRBY', prefix .. 'steps:' .. model .. '|' .. size, 'jobs', 1)
  if batch then keep(prefix .. 'done:' .. batch, did, 8 * 86400) end
end
