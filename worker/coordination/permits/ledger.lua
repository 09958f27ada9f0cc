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
--   muster:permits:<agent>:lines       zset  "<since of the first>:<line>" -> rank + start tag
--   muster:permits:<agent>:finished    zset  line in which nobody waits -> rank + its last finish tag
--   muster:permits:<agent>:clock       hash  priority -> virtual time: start tag of the last grant
--
-- Channels: muster:wake:<worker>, which is told of a grant that another worker's call led to:
--   "permit <agent> <run> <step> <ticket> <since> <era>"
--
-- Start-time fair queuing (Goyal, Vin, Cheng 1996) with every permit of cost 1: the first of a line
-- has the start tag max(virtual time, finish tag of the line), and the lowest tag is granted next.
-- Tags belong to the heads of lines alone, so that whoever leaves unserved costs a tenant nothing.

local ERA, MISSING, DEADLINE = 'muster:permits:era', 'muster:permits:missing', 'muster:permits:deadline'
local WORKERS, AGENTS = 'muster:permits:workers', 'muster:permits:agents'
local LIMITS, DEFAULTS = 'muster:permits:limits', 'muster:permits:defaults'
local RANK = 2 ^ 48 -- a priority's share of a score: ten of them and a tag fit a double exactly

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

local function rank(line) return (9 - tonumber(string.sub(line, 1, 1))) * RANK end

-- The first permit of a line and the second, each with the name under which the line stands in
-- `lines` while that permit is its first.
local function heads(agent, line)
  local found = redis.call('ZRANGE', key(agent, 'line:' .. line), 0, 1, 'WITHSCORES')
  local function member(since) return since and digits(tonumber(since)) .. ':' .. line end
  return found[1], member(found[2]), found[3], member(found[4])
end

-- The tag of a line in which nobody waited.
local function start_tag(agent, line)
  local virtual = redis.call('HGET', key(agent, 'clock'), string.sub(line, 1, 1)) or 0
  local finished = redis.call('ZSCORE', key(agent, 'finished'), line) or 0
  redis.call('ZREM', key(agent, 'finished'), line)
  return math.max(rank(line) + tonumber(virtual), tonumber(finished))
end

local function enqueue(agent, permit, ask)
  local line, lines = line_of(ask), key(agent, 'lines')
  redis.call('HSET', key(agent, 'asks'), permit, cjson.encode(ask))
  redis.call('ZADD', key(agent, 'line:' .. line), ask.since, permit)
  local first, member, second, former = heads(agent, line)
  if first ~= permit then return end
  local tag = second and redis.call('ZSCORE', lines, former) or start_tag(agent, line)
  if second then redis.call('ZREM', lines, former) end
  redis.call('ZADD', lines, digits(tonumber(tag)), member)
end

-- Takes a waiter out. Its line's tag rises by the cost: 1 for a grant, 0 for who leaves unserved.
local function dequeue(agent, permit, ask, cost)
  local line, lines = line_of(ask), key(agent, 'lines')
  local first, member, second, coming = heads(agent, line)
  redis.call('HDEL', key(agent, 'asks'), permit)
  redis.call('ZREM', key(agent, 'line:' .. line), permit)
  if first ~= permit then return end
  local tag = digits(tonumber(redis.call('ZSCORE', lines, member)) + cost)
  redis.call('ZREM', lines, member)
  if second then
    redis.call('ZADD', lines, tag, coming)
  else
    redis.call('ZADD', key(agent, 'finished'), tag, line)
  end
end

-- The virtual time becomes the tag of the last grant; finish tags up to it say nothing any more.
local function advance(agent, priority, score)
  local base = rank(priority)
  redis.call('HSET', key(agent, 'clock'), priority, digits(score - base))
  redis.call('ZREMRANGEBYSCORE', key(agent, 'finished'), digits(base), digits(score))
end

-- Grants the next permit. Returns its priority and score; nothing where nobody waits.
local function grant_next(agent)
  local found = redis.call('ZRANGE', key(agent, 'lines'), 0, 0, 'WITHSCORES')
  if not found[1] then return end
  local line = string.sub(found[1], 18)
  local permit = heads(agent, line)
  local ask = read(key(agent, 'asks'), permit)
  dequeue(agent, permit, ask, 1)
  hand(agent, permit, ask)
  return string.sub(line, 1, 1), tonumber(found[2])
end

-- Grants what the limit allows, in order.
local function settle(agent)
  local reached = {}
  for _ = 1, closed() and 0 or free(agent) do
    local priority, score = grant_next(agent)
    if not priority then break end
    reached[priority] = score
  end
  if redis.call('EXISTS', key(agent, 'asks')) == 0 then
    redis.call('DEL', key(agent, 'finished'), key(agent, 'clock'))
  else
    for priority, score in pairs(reached) do advance(agent, priority, score) end
  end
end

local function settle_all()
  for _, agent in ipairs(redis.call('SMEMBERS', AGENTS)) do settle(agent) end
end
