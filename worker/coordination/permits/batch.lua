-- All that one worker has to say to the ledger in one turn: limits, gives, registrations, asks.
--
-- KEYS: none; may touch every key of ledger.lua.
-- ARGV: [1] JSON: worker; call: its number, which rises; era
--       limits: optional, {agent: limit}: all limits set at run time
--       gives: [[agent, permit, ticket]]: released, or not wanted any more
--       holds: [[agent, permit, ticket, tenant, since, limit]]: held since an earlier era
--       asks: [[agent, permit, ticket, tenant, priority, limit, since or false]]: false for a new one,
--             otherwise it was lost and takes its old place
--       registered: whether all that the worker holds and waits for is in this call and those before
--       leaving: whether the worker is through with the ledger
-- Returns JSON: ok, era, now, granted: [[agent, permit, ticket, since]]. Not ok: register in `era`,
--       open one if it is empty; nothing was done.

local refused = refusal()
if refused then return refused end

local touched = {} -- agent -> registered limit, false where this call does not name one

local function touch(agent, registered) touched[agent] = registered or touched[agent] or false end

local function write_limits(limits)
  redis.call('DEL', LIMITS)
  for agent, number in pairs(limits) do redis.call('HSET', LIMITS, agent, digits(number)) end
  for _, agent in ipairs(redis.call('SMEMBERS', AGENTS)) do touch(agent) end
end

-- Only of what is the worker's own and goes by this ticket: to give twice does nothing.
local function give(agent, permit, ticket)
  local holder = read(key(agent, 'held'), permit)
  local ask = not holder and read(key(agent, 'asks'), permit)
  local known = holder or ask
  if not known or known.worker ~= me or known.ticket ~= ticket then return end
  if holder then
    redis.call('HDEL', key(agent, 'held'), permit)
  else
    dequeue(agent, permit, line_of(ask))
  end
  touch(agent)
end

-- A permit that changed hands is held by who had it last, and goes to who asked for it since.
local function register(agent, permit, holder)
  local other = read(key(agent, 'held'), permit)
  if other and other.worker ~= me and tonumber(other.since) > tonumber(holder.since) then return end
  redis.call('HSET', key(agent, 'held'), permit, cjson.encode(holder))
  local ask = read(key(agent, 'asks'), permit)
  if ask then
    dequeue(agent, permit, line_of(ask))
    if tonumber(ask.since) > tonumber(holder.since) then hand(agent, permit, ask) end
  end
end

-- Whether the ask is new to the ledger. One for what is held or waited for changes its hands.
local function is_new(agent, permit, ask, again)
  local holder = read(key(agent, 'held'), permit)
  if holder then
    local mine = not again or holder.worker == me
    if mine or tonumber(ask.since) >= tonumber(holder.since) then hand(agent, permit, ask) end
    return false
  end
  local other = read(key(agent, 'asks'), permit)
  if other and (not again or tonumber(ask.since) >= tonumber(other.since)) then
    other.worker, other.ticket = me, ask.ticket
    redis.call('HSET', key(agent, 'asks'), permit, cjson.encode(other))
  end
  return not other
end

local newcomers = {} -- agent -> {{permit, ask}}

local function take(index, fields)
  local agent, permit, again = fields[1], fields[2], fields[7]
  local ask = { worker = me, ticket = fields[3], tenant = fields[4], priority = fields[5] }
  ask.since = again or digits(now + index)
  touch(agent, fields[6])
  if is_new(agent, permit, ask, again) then
    newcomers[agent] = newcomers[agent] or {}
    table.insert(newcomers[agent], { permit, ask })
  end
end

-- Where nobody waits and there is room for all, the queue would change nothing.
local function admit(agent, asks)
  local alone = redis.call('EXISTS', key(agent, 'asks')) == 0
  local apply = alone and not closed() and free(agent) >= #asks and hand or enqueue
  for _, new in ipairs(asks) do apply(agent, new[1], new[2]) end
end

if given.limits then write_limits(given.limits) end
for _, fields in ipairs(given.gives) do give(fields[1], fields[2], fields[3]) end
for _, fields in ipairs(given.holds) do
  local holder = { worker = me, ticket = fields[3], tenant = fields[4], since = fields[5] }
  touch(fields[1], fields[6])
  register(fields[1], fields[2], holder)
end
for index, fields in ipairs(given.asks) do take(index, fields) end
for agent, registered in pairs(touched) do
  if registered then
    redis.call('SADD', AGENTS, agent)
    redis.call('HSET', DEFAULTS, agent, digits(registered))
  end
end
for agent, asks in pairs(newcomers) do admit(agent, asks) end
if given.leaving then redis.call('HDEL', WORKERS, me) end
if given.registered and redis.call('SREM', MISSING, me) == 1 and not closed() then
  settle_all()
end
for agent in pairs(touched) do settle(agent) end
return cjson.encode({ ok = true, era = given.era, now = digits(now), granted = granted })
