-- Compares what a worker knows with the ledger, and ends the wait for the missing when it is time.
--
-- KEYS: none; may touch every key of ledger.lua.
-- ARGV: [1] JSON: worker, call, era
--       waiting: [[agent, permit, ticket]]: asks that the ledger once had
--       held: [[agent, permit, ticket]]
-- Returns JSON: ok, era, as batch.lua
--       granted: [[agent, permit, ticket, since]]: those waited for, and those granted just now
--       vanished: [[agent, permit, ticket]] of `waiting`: neither held nor waited for by anyone
--       lost: [[agent, permit, ticket]] of `held`: another worker's by now, or nobody's
--       workers: [worker]: all that the ledger knows of

local refused = refusal()
if refused then return refused end

if redis.call('EXISTS', MISSING) == 1 and not closed() then
  redis.call('DEL', MISSING, DEADLINE)
  settle_all()
end

local vanished, lost = {}, {}

for _, fields in ipairs(given.waiting) do
  local agent, permit, ticket = fields[1], fields[2], fields[3]
  local holder = read(key(agent, 'held'), permit)
  if holder and holder.worker == me and holder.ticket == ticket then
    granted[#granted + 1] = { agent, permit, ticket, holder.since }
  elseif not holder and redis.call('HEXISTS', key(agent, 'asks'), permit) == 0 then
    vanished[#vanished + 1] = fields
  end
end

for _, fields in ipairs(given.held) do
  local holder = read(key(fields[1], 'held'), fields[2])
  if not holder or holder.worker ~= me then lost[#lost + 1] = fields end
end

local workers = redis.call('SMEMBERS', MISSING)
for _, worker in ipairs(redis.call('HKEYS', WORKERS)) do workers[#workers + 1] = worker end

return cjson.encode({
  ok = true,
  era = given.era,
  granted = granted,
  vanished = vanished,
  lost = lost,
  workers = workers,
})
