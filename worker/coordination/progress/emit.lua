-- Appends one event of progress, numbered after the last.
--
-- KEYS[1]  muster:progress:<thread>  stream: entry <number>-0 with step, progress, data, at (us)
--
-- ARGV     step, progress, data (JSON), entries kept at least, seconds kept
--
-- Returns the number, from 1

local clock = redis.call('TIME')
local last = redis.call('XREVRANGE', KEYS[1], '+', '-', 'COUNT', 1)[1]
local number = last and string.match(last[1], '^%d+') + 1 or 1
redis.call('XADD', KEYS[1], 'MAXLEN', '~', ARGV[4], string.format('%.0f-0', number),
  'step', ARGV[1], 'progress', ARGV[2], 'data', ARGV[3],
  'at', string.format('%.0f', clock[1] * 1000000 + clock[2]))
redis.call('EXPIRE', KEYS[1], ARGV[5])
return number
