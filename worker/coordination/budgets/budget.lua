-- One act on a run's budget: set an estimate aside for a model call, or settle it.
--
-- KEYS[1]  muster:budget:<root>        hash:
--            born                      when it was set up, by Redis's clock; another after a flush
--            tokens, usd               used
--            reserved_tokens, reserved_usd   set aside for calls under way
--            call:<call>               "<tokens> <usd>" set aside for it, or "settled"
-- KEYS[2]  muster:budget:<root>:calls  zset: the calls of the hash by when they are forgotten
--
-- ARGV[1]  what the process knows as `born`; '' where it has no calls of this run
-- ARGV[2]  tokens, ARGV[3]  US dollars that the journal says are spent; '' where nobody asked it
-- ARGV[4]  'reserve' or 'settle'
-- ARGV[5]  call, ARGV[6]  its tokens, ARGV[7]  its US dollars, ARGV[8]  seconds until forgotten
-- ARGV[9]  limit of tokens, ARGV[10]  limit of US dollars; '' for none
-- ARGV[11] whether the process tells what it remembers ('1'), ARGV[12..] that, five words a call:
--          call, 'reserved' or 'settled', tokens, US dollars, seconds until forgotten
--
-- Returns {word, born, used tokens, used usd, reserved tokens, reserved usd}, the numbers as
-- strings. Words: 'done'; 'over' (does not fit); 'new' (nothing is known of the budget: ask the
-- journal); 'forgotten' (a flush came between: tell what you remember).

local BUDGET, CALLS = KEYS[1], KEYS[2]
local KEEP_SECONDS = 86400
local PENNY_DUST = 1e-9   -- sums of dollars are not exact to the last bit

local function exact(value) return string.format('%.17g', value) end
local function field(name) return tonumber(redis.call('HGET', BUDGET, name) or 0) end
local function add(name, value) redis.call('HSET', BUDGET, name, exact(field(name) + value)) end

local clock = redis.call('TIME')
local now = tonumber(clock[1]) + tonumber(clock[2]) / 1000000

local function put_aside(tokens, usd)
  add('reserved_tokens', tokens)
  add('reserved_usd', usd)
end

local function note(call, what, seconds)
  redis.call('HSET', BUDGET, 'call:' .. call, what)
  redis.call('ZADD', CALLS, exact(now + seconds), call)
end

local function free(call)
  local held = redis.call('HGET', BUDGET, 'call:' .. call)
  local tokens, usd = string.match(held or '', '^(%S+) (%S+)$')
  if tokens then put_aside(-tonumber(tokens), -tonumber(usd)) end
end

local function reserve(call, tokens, usd, seconds)
  if redis.call('HEXISTS', BUDGET, 'call:' .. call) == 1 then return end
  put_aside(tokens, usd)
  note(call, exact(tokens) .. ' ' .. exact(usd), seconds)
end

local function settle(call, tokens, usd, seconds)
  if redis.call('HGET', BUDGET, 'call:' .. call) == 'settled' then return end
  free(call)
  add('tokens', tokens)
  add('usd', usd)
  note(call, 'settled', seconds)
end

local function forget_overdue()
  for _, call in ipairs(redis.call('ZRANGEBYSCORE', CALLS, '-inf', exact(now))) do
    free(call)
    redis.call('HDEL', BUDGET, 'call:' .. call)
    redis.call('ZREM', CALLS, call)
  end
end

local function fits(call, tokens, usd)
  if redis.call('HEXISTS', BUDGET, 'call:' .. call) == 1 then return true end
  local most_tokens, most_usd = tonumber(ARGV[9]), tonumber(ARGV[10])
  local all_tokens = field('tokens') + field('reserved_tokens') + tokens
  local all_usd = field('usd') + field('reserved_usd') + usd
  return (not most_tokens or all_tokens <= most_tokens)
    and (not most_usd or all_usd <= most_usd + PENNY_DUST)
end

local function answer(word)
  return {word, redis.call('HGET', BUDGET, 'born') or '', exact(field('tokens')),
    exact(field('usd')), exact(field('reserved_tokens')), exact(field('reserved_usd'))}
end

local born = redis.call('HGET', BUDGET, 'born')
if not born then
  if ARGV[2] == '' then return answer('new') end
  born = exact(now)
  redis.call('DEL', CALLS)
  redis.call('HSET', BUDGET, 'born', born, 'tokens', ARGV[2], 'usd', ARGV[3])
end
if ARGV[1] ~= '' and ARGV[1] ~= born and ARGV[11] ~= '1' then return answer('forgotten') end

forget_overdue()
for first = 12, #ARGV, 5 do
  local act = ARGV[first + 1] == 'settled' and settle or reserve
  act(ARGV[first], tonumber(ARGV[first + 2]), tonumber(ARGV[first + 3]), tonumber(ARGV[first + 4]))
end

local call, tokens, usd, seconds =
  ARGV[5], tonumber(ARGV[6]), tonumber(ARGV[7]), tonumber(ARGV[8])
local word = 'done'
if ARGV[4] == 'settle' then
  settle(call, tokens, usd, seconds)
elseif fits(call, tokens, usd) then
  reserve(call, tokens, usd, seconds)
else
  word = 'over'
end
redis.call('EXPIRE', BUDGET, KEEP_SECONDS)
redis.call('EXPIRE', CALLS, KEEP_SECONDS)
return answer(word)
