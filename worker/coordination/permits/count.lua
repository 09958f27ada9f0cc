-- How many permits are held and waited for, without saying by whom; changes nothing.
--
-- KEYS: none; reads agents, limits, defaults, and the sizes of each agent's held and asks.
-- ARGV: [1] JSON: {}
-- Returns JSON: agents: [[agent, limit, held, waiting]]

local agents = {}
for index, agent in ipairs(redis.call('SMEMBERS', AGENTS)) do
  local held, asks = redis.call('HLEN', key(agent, 'held')), redis.call('HLEN', key(agent, 'asks'))
  agents[index] = { agent, limit(agent), held, asks }
end
return cjson.encode({ agents = agents })
