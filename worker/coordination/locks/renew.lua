-- Renews locks by comparing the owner and its process. Many in one call.
--
-- KEYS[1]  muster:locks        zset: index of the locks, by when they lapse (ms)
-- KEYS[2]  muster:locks:era    hash: id, opens (ms); made here where it is missing
-- and for each
--          muster:lock:<key>   hash: only its term changes
--
-- ARGV[1]  how long a new era gives nothing out, ms
-- ARGV[2]  the process
-- and for each
--          name (the quoted key), owner, ttl (ms)
--
-- Returns  the id of the era, then for each
--          1 renewed, 0 nobody has it, -1 another owner has it, or the same one elsewhere

local function renew(lock, name, owner, ttl)
  local present = redis.call('HMGET', lock, 'owner', 'ask')
  if not present[1] then
    return 0
  end
  if present[1] ~= owner or process_of(present[2]) ~= ARGV[2] then
    return -1
  end
  redis.call('PEXPIRE', lock, ttl)
  redis.call('ZADD', KEYS[1], text(now + ttl), name)
  return 1
end

local renewed = {(era_of(KEYS[2], ARGV[1]))}
for i = 1, #KEYS - 2 do
  renewed[i + 1] = renew(KEYS[i + 2], ARGV[3 * i], ARGV[3 * i + 1], ARGV[3 * i + 2])
end
return renewed
