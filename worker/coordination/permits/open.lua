-- Opens a new era where there is none: nothing is granted until all who may hold a permit have
-- registered, or their time is over.
--
-- KEYS: none; removes every key of ledger.lua but agents, limits and defaults, then writes era,
--       missing and deadline.
-- ARGV: [1] JSON: worker; id: random; expected: [worker]; grace: microseconds
-- Returns JSON: era, the one that is open now; opened: whether this call did it.

local era = current_era()
if era ~= '' then return cjson.encode({ era = era, opened = false }) end

-- What is left is older than the loss: permits given back since would never come back.
for _, agent in ipairs(redis.call('SMEMBERS', AGENTS)) do
  for _, line in ipairs(redis.call('ZRANGE', key(agent, 'lines'), 0, -1)) do
    redis.call('DEL', key(agent, 'line:' .. line))
  end
  for _, part in ipairs({ 'held', 'asks', 'lines', 'turn' }) do
    redis.call('DEL', key(agent, part))
  end
end
redis.call('DEL', WORKERS, MISSING)

era = server .. ':' .. given.id
redis.call('SET', ERA, era)
redis.call('SET', DEADLINE, digits(now + given.grace))
for _, worker in ipairs(given.expected) do redis.call('SADD', MISSING, worker) end
return cjson.encode({ era = era, opened = true })
