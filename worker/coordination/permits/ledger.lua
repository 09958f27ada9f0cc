-- The permits' ledger: the keys, and what every script of this folder begins with
-- (scripts.py puts this file in front of each).
--
-- KEYS: none, for most names follow from the data. Every name begins with "muster:permits:".
-- ARGV: [1] JSON, described in each script.
--
-- <agent>, <tenant>, <run> and <step> are percent-quoted. <permit> is <run>:<step>. A <line> is
-- <priority>:<tenant>. Times are microseconds since 1970 by this server's clock, 16 digits.
--
--   muster:permits:era          string  <run id of the server>:<random>; new when state may be lost
--   muster:permits:missing      set     workers that have yet to register in this era; none is granted to
--   muster:permits:deadline     string  time at which the missing are waited for no longer
--   muster:permits:workers      hash    worker that holds or waits -> number of its last call
--   muster:permits:agents       set     agents that have been asked for
--   muster:permits:limits       hash    agent -> limit set at run time
--   muster:permits:defaults     hash    agent -> registered limit
--   muster:permits:<agent>:held        hash  permit -> JSON {worker, ticket, tenant, since}
--   muster:permits:<agent>:asks        hash  permit -> JSON {worker, ticket, tenant, priority, since}
--   muster:permits:<agent>:line:<line> zset  permit -> since: a tenant's waiters of one priority
--   muster:permits:<agent>:lines       zset  line in which somebody waits -> its turn, by priority
--   muster:permits:<agent>:turn        string  number of the last turn given out
--
-- Channels: muster:wake:<worker>, which is told of a grant that another worker's call led to:
--   "permit <agent> <run> <step> <ticket> <since> <era>"
--
-- Within a priority the lines take turns, which is fair queuing where every permit costs the same
-- (Nagle 1985, RFC 970): the first of a tenant waits for one permit of every other tenant at most,
-- and whoever leaves unserved costs a tenant nothing.

local ERA, MISSING, DEADLINE = 'muster:permits:era', 'muster:permits:missing', 'muster:permits:deadline'
local WORKERS, AGENTS = 'muster:permits:workers', 'muster:permits:agents'
local LIMITS, DEFAULTS = 'muster:permits:limits', 'muster:permits:defaults'
local RANK = 2 ^ 48 -- a priority's share of a score: ten of them fit a double exactly

local given = cjson.decode(ARGV[1])
local me = given.worker
local granted = {} -- what the caller gets: {agent, permit, ticket, since}

local time = redis.call('TIME')
local now = tonumber(time[1]) * 1000000 + tonumber(time[2])
local info = redis.pcall('INFO', 'server') -- an error where the server's owner forbids it
local server = type(info) == 'string' and string.match(info, 'run_id:(%w+)') or ''

local function digits(number) return string.format('%.0f', number) end

local function key(agent, part) return 'muster:permits:' .. agent .. ':' .. part end

local function read(name, field)
  local found = redis.call('HGET', name, field)
  return found and cjson.decode(found)
end

-- An era ends with the server that it began on: one that restarts may come back with old data.
local function current_era()
  local era = redis.call('GET', ERA)
  return era and string.sub(era, 1, #server) == server and era or ''
end

-- A caller of another era must register first. A call that was overtaken by a later one of the same
-- worker (its connection broke, it arrived all the same) must change nothing.
local function refusal()
  local era = current_era()
  local late = given.call <= (tonumber(redis.call('HGET', WORKERS, me)) or 0)
  if era == '' or era ~= given.era or late then return cjson.encode({ ok = false, era = era }) end
  redis.call('HSET', WORKERS, me, digits(given.call))
end

local function closed()
  if redis.call('EXISTS', MISSING) == 0 then return false end
  return now < tonumber(redis.call('GET', DEADLINE) or 0)
end

local function limit(agent)
  return tonumber(redis.call('HGET', LIMITS, agent) or redis.call('HGET', DEFAULTS, agent) or 0)
end

local function free(agent) return limit(agent) - redis.call('HLEN', key(agent, 'held')) end

-- Makes the asker the holder, and says so.
local function hand(agent, permit, ask)
  local since = digits(now)
  local holder = { worker = ask.worker, ticket = ask.ticket, tenant = ask.tenant, since = since }
  redis.call('HSET', key(agent, 'held'), permit, cjson.encode(holder))
  if ask.worker == me then
    granted[#granted + 1] = { agent, permit, ask.ticket, since }
  else
    local names = agent .. ' ' .. string.gsub(permit, ':', ' ')
    local notice = 'permit ' .. names .. ' ' .. ask.ticket .. ' ' .. since .. ' ' .. given.era
    redis.call('PUBLISH', 'muster:wake:' .. ask.worker, notice)
  end
end

local function line_of(ask) return string.format('%d:%s', ask.priority, ask.tenant) end

-- The line goes last among those of its priority.
local function give_turn(agent, line)
  local rank = (9 - tonumber(string.sub(line, 1, 1))) * RANK
  local turn = redis.call('INCR', key(agent, 'turn'))
  redis.call('ZADD', key(agent, 'lines'), digits(rank + turn), line)
end

local function enqueue(agent, permit, ask)
  local line = line_of(ask)
  redis.call('HSET', key(agent, 'asks'), permit, cjson.encode(ask))
  redis.call('ZADD', key(agent, 'line:' .. line), ask.since, permit)
  if redis.call('ZCARD', key(agent, 'line:' .. line)) == 1 then give_turn(agent, line) end
end

-- Takes a waiter out. Returns whether others wait in its line.
local function dequeue(agent, permit, line)
  redis.call('HDEL', key(agent, 'asks'), permit)
  redis.call('ZREM', key(agent, 'line:' .. line), permit)
  if redis.call('EXISTS', key(agent, 'line:' .. line)) == 1 then return true end
  redis.call('ZREM', key(agent, 'lines'), line)
  return false
end

-- Grants the next permit. Returns whether somebody waited for it.
local function grant_next(agent)
  local line = redis.call('ZRANGE', key(agent, 'lines'), 0, 0)[1]
  if not line then return false end
  local permit = redis.call('ZRANGE', key(agent, 'line:' .. line), 0, 0)[1]
  local ask = read(key(agent, 'asks'), permit)
  if dequeue(agent, permit, line) then give_turn(agent, line) end
  hand(agent, permit, ask)
  return true
end

-- Grants what the limit allows, in order.
local function settle(agent)
  for _ = 1, closed() and 0 or free(agent) do
    if not grant_next(agent) then break end
  end
  if redis.call('EXISTS', key(agent, 'asks')) == 0 then redis.call('DEL', key(agent, 'turn')) end
end

local function settle_all()
  for _, agent in ipairs(redis.call('SMEMBERS', AGENTS)) do settle(agent) end
end
