-- Takes back what dead workers hold and wait for, and grants it to the next.
--
-- KEYS: none; may touch every key of ledger.lua but limits, defaults and agents.
-- ARGV: [1] JSON: worker, call, era; dead: [worker]
-- Returns JSON: ok, era, as batch.lua; granted: [[agent, permit, ticket, since]]; forgotten: how many
--       permits and asks there were.

local refused = refusal()
if refused then return refused end

local dead, forgotten, awaited = {}, 0, false
for _, worker in ipairs(given.dead) do
  dead[worker] = true
  redis.call('HDEL', WORKERS, worker)
  awaited = redis.call('SREM', MISSING, worker) == 1 or awaited
end

-- The entries of a hash that belong to the dead.
local function theirs(name)
  local fields, found = redis.call('HGETALL', name), {}
  for index = 1, #fields, 2 do
    local entry = cjson.decode(fields[index + 1])
    if dead[entry.worker] then found[#found + 1] = { fields[index], entry } end
  end
  forgotten = forgotten + #found
  return found
end

for _, agent in ipairs(redis.call('SMEMBERS', AGENTS)) do
  local held, asks = theirs(key(agent, 'held')), theirs(key(agent, 'asks'))
  for _, entry in ipairs(held) do redis.call('HDEL', key(agent, 'held'), entry[1]) end
  for _, entry in ipairs(asks) do dequeue(agent, entry[1], line_of(entry[2])) end
  if awaited or #held + #asks > 0 then settle(agent) end
end

return cjson.encode({ ok = true, era = given.era, granted = granted, forgotten = forgotten })
