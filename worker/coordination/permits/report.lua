-- Everything that a person may want to know; changes nothing.
--
-- KEYS: none; reads every key of ledger.lua but workers and turn.
-- ARGV: [1] JSON: {}
-- Returns JSON: missing: how many workers are waited for after a flush
--       agents: [[agent, limit set at run time or false, registered limit or false,
--                 held, asks, lines]], the first two as HGETALL gives them, lines by turn

local agents = {}
for index, agent in ipairs(redis.call('SMEMBERS', AGENTS)) do
  agents[index] = {
    agent,
    redis.call('HGET', LIMITS, agent),
    redis.call('HGET', DEFAULTS, agent),
    redis.call('HGETALL', key(agent, 'held')),
    redis.call('HGETALL', key(agent, 'asks')),
    redis.call('ZRANGE', key(agent, 'lines'), 0, -1),
  }
end
local missing = closed() and redis.call('SCARD', MISSING) or 0
return cjson.encode({ missing = missing, agents = agents })
