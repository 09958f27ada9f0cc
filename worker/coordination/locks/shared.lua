-- What the scripts of the locks share; put before each of them. Touches what it is handed:
--
--   muster:locks:era           hash: id, opens (ms); made by `era_of` where it is missing
--   muster:lock-queue:<key>    zset: waiters, by ticket
--   muster:lock-waiters:<key>  zset: waiters, by when they count as dead (ms)

local clock = redis.call('TIME')
local micros = clock[1] * 1000000 + clock[2]
local now = math.floor(micros / 1000)

local function text(number)
  return string.format('%.0f', number)
end

-- Returns the era's id and the ms until it gives out locks. An era is missing before the first use
-- and after a flush: then nothing is given out for `grace` ms, so that owners can restore theirs.
local function era_of(key, grace)
  local era = redis.call('HMGET', key, 'id', 'opens')
  if not era[1] then
    era = {text(micros), text(now + grace)}
    redis.call('HSET', key, 'id', era[1], 'opens', era[2])
  end
  return era[1], era[2] - now
end

-- Returns the process of an ask, whose id is <process>/<number>.
local function process_of(ask)
  return string.match(ask, '^[^/]*')
end

local function drop_the_dead(queue, waiters)
  local dead = redis.call('ZRANGEBYSCORE', waiters, '-inf', '(' .. text(now))
  for _, waiter in ipairs(dead) do
    redis.call('ZREM', waiters, waiter)
    redis.call('ZREM', queue, waiter)
  end
end

