-- One turn of the rate limits: everything that one process asks of the buckets at a time.
--
-- KEYS[1]   muster:rates                  set: the quoted names of all buckets
-- KEYS[2]   muster:rates:turn:<process>   string: "<number> <answer>" of the process's last turn
-- KEYS[3..] muster:rate:<name>            hash, one for each bucket:
--             born          when it was set up, by Redis's clock; another one after a flush
--             base          the latest `paid` that its memories have brought along
--             paid          when all that was taken has flowed in; in the future: debt
--             paused        until when nobody goes through
--             shift         seconds by which pauses have put off those who wait, all told
--             moved         seconds by which pauses and corrections have moved `paid`, all told
--             amount, seconds, burst      its rate as last named; missing where nobody named it
-- and <bucket's key>:left   zset: "<end> <cost and lift>" of the shares of callers that went away
--             with others behind them, by where they end as if nothing had been moved
--
-- ARGV: the turn's number, then lists, each led by its length:
--   buckets    name, amount, seconds, burst ('' where unknown), and what the process remembers of
--              it: born, paid, paused, shift, moved ('' where it remembers nothing)
--   corrected  bucket, cost
--   returned   bucket, cost, end, lift
--   paused     bucket, seconds
--   confirmed  go, then a list of: bucket, shift
--   asked      a list of: bucket, cost
-- A bucket is given as its place in the list from 1; costs are seconds of its flow.
--
-- Returns numbers in one string, parted by blanks: the time; for each bucket born, paid, paused,
-- shift, moved; for each one confirmed when it may go; for each one asked when it may go and, for
-- each of its wants, where its share ends as if nothing had been moved, and its lift: what will
-- overflow until its caller goes, and comes back with the share.
--
-- The maths is that of `bucket.py`.

local INDEX, TURN = KEYS[1], KEYS[2]
local TURN_MS = 120000       -- a turn is repeated at once or never
local IDLE_MS = 3600000      -- a full bucket stays visible for so long
local SAME = 1e-6

local at = 0
local function word() at = at + 1; return ARGV[at] end
local function number() return tonumber(word()) end
local function each(act) for _ = 1, number() do act() end end
local function exact(value) return string.format('%.17g', value) end

-- A turn whose answer was lost comes again: its shares are not taken twice.
local turn = number()
local last = redis.call('GET', TURN)
if last then
  local space = string.find(last, ' ', 1, true)
  if tonumber(string.sub(last, 1, space - 1)) >= turn then
    return string.sub(last, space + 1)
  end
end

local clock = redis.call('TIME')
local now = tonumber(clock[1]) + tonumber(clock[2]) / 1000000

local buckets, told = {}, {}
local function tell(value) told[#told + 1] = exact(value) end

-- Whoever remembers the bucket from before a flush adds what was taken until then; the newest
-- memory counts, and none counts twice.
local function remember(bucket, born, paid, paused, shift, moved)
  if not born or born == bucket.born then return end
  local known = math.max(bucket.base, bucket.born - bucket.depth)
  if paid > known then
    bucket.paid = bucket.paid + paid - known
    bucket.base = paid
    bucket.moved = moved
  end
  bucket.paused = math.max(bucket.paused, paused)
  bucket.shift = math.max(bucket.shift, shift)
end

local function load()
  local bucket = {key = KEYS[#buckets + 3], name = word()}
  bucket.amount, bucket.seconds, bucket.burst = number(), number(), number()
  local found = redis.call('HMGET', bucket.key, 'born', 'base', 'paid', 'paused', 'shift',
    'amount', 'seconds', 'burst', 'moved')
  if not bucket.amount and found[6] then
    bucket.amount, bucket.seconds, bucket.burst =
      tonumber(found[6]), tonumber(found[7]), tonumber(found[8])
  end
  bucket.depth = bucket.amount and bucket.burst * bucket.seconds / bucket.amount or 0
  bucket.born = tonumber(found[1]) or now
  bucket.paid = tonumber(found[3]) or now - bucket.depth
  bucket.base = tonumber(found[2]) or bucket.paid
  bucket.paused = tonumber(found[4]) or 0
  bucket.shift = tonumber(found[5]) or 0
  bucket.moved = tonumber(found[9]) or 0
  remember(bucket, number(), number(), number(), number(), number())
  if not found[1] then redis.call('SADD', INDEX, bucket.name) end
  buckets[#buckets + 1] = bucket
end

local function keep_within(bucket)
  local least = bucket.paused > now and bucket.paused or now - bucket.depth
  bucket.paid = math.max(bucket.paid, least)
end

local function correct()
  local bucket, cost = buckets[number()], number()
  local before = math.max(bucket.paid, now - bucket.depth)
  bucket.paid = before + cost
  keep_within(bucket)
  bucket.moved = bucket.moved + bucket.paid - before
end

local function give_back()
  local bucket, cost, ends, lift = buckets[number()], number(), word(), number()
  local left = bucket.key .. ':left'
  redis.call('ZADD', left, ends, ends .. ' ' .. exact(cost + lift))
  while true do
    local last = redis.call('ZREVRANGE', left, 0, 0, 'WITHSCORES')
    if not last[1] or tonumber(last[2]) + bucket.moved < bucket.paid - SAME then break end
    bucket.paid = bucket.paid - tonumber(string.match(last[1], '%S+$'))
    redis.call('ZREM', left, last[1])
  end
  redis.call('ZREMRANGEBYSCORE', left, '-inf', exact(now - bucket.depth - bucket.moved))
  redis.call('PEXPIRE', left, IDLE_MS)
  keep_within(bucket)
end

local function pause()
  local bucket, seconds = buckets[number()], number()
  local since, till = math.max(now, bucket.paused), now + seconds
  if till > since then
    bucket.paid = math.max(bucket.paid, since) + till - since
    bucket.shift = bucket.shift + till - since
    bucket.moved = bucket.moved + till - since
    bucket.paused = till
  end
end

local function confirm()
  local go = number()
  local due = go
  each(function()
    local bucket, shift = buckets[number()], number()
    due = math.max(due, go + bucket.shift - shift, bucket.paused)
  end)
  tell(due)
end

local function ask()
  local go, shares = now, {}
  each(function()
    local bucket, cost = buckets[number()], number()
    local flowed = math.max(bucket.paid, now - bucket.depth) + cost
    go = math.max(go, bucket.paused, flowed)
    shares[#shares + 1] = {bucket, cost}
  end)
  tell(go)
  for _, share in ipairs(shares) do
    local bucket, cost = share[1], share[2]
    local lift = math.max(0, go - bucket.depth - bucket.paid)
    bucket.paid = bucket.paid + lift + cost
    tell(bucket.paid - bucket.moved)
    tell(lift)
  end
end

local function save(bucket)
  redis.call('HSET', bucket.key, 'born', exact(bucket.born), 'base', exact(bucket.base),
    'paid', exact(bucket.paid), 'paused', exact(bucket.paused), 'shift', exact(bucket.shift),
    'moved', exact(bucket.moved))
  if bucket.amount then
    redis.call('HSET', bucket.key, 'amount', exact(bucket.amount),
      'seconds', exact(bucket.seconds), 'burst', exact(bucket.burst))
  end
  local busy = math.max(bucket.paid, bucket.paused) - now + bucket.depth
  redis.call('PEXPIRE', bucket.key, math.ceil(math.max(0, busy) * 1000) + IDLE_MS)
end

each(load)
each(correct)
each(give_back)
each(pause)
each(confirm)
each(ask)

local answer = {exact(now)}
for _, bucket in ipairs(buckets) do
  save(bucket)
  for _, part in ipairs({'born', 'paid', 'paused', 'shift', 'moved'}) do
    answer[#answer + 1] = exact(bucket[part])
  end
end
for _, value in ipairs(told) do answer[#answer + 1] = value end
local said = table.concat(answer, ' ')
redis.call('SET', TURN, turn .. ' ' .. said, 'PX', TURN_MS)
return said
