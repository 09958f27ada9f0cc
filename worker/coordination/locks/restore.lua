-- Puts locks back that a flush took away, before anybody else could acquire them. Many in one call.
--
-- KEYS[1]  muster:locks        zset: index of the locks, by when they lapse (ms)
-- KEYS[2]  muster:locks:era    hash: id, opens (ms); made here where it is missing
-- KEYS[3]  muster:fence        string: the last fencing number
-- and for each
--          muster:lock:<key>   hash: owner, fence, holder, why, since (us), ttl (ms), metadata, ask
--
-- ARGV[1]  how long a new era gives nothing out, ms
-- and for each
--          name (the quoted key), ask, owner, ttl (ms), holder, why, metadata, fence, since (us)
--
-- Returns  the id of the era, then for each
--          1 the owner has it, 0 it came too late: another has it, or may have had it

local era, opens_in = era_of(KEYS[2], ARGV[1])

local function restore(lock, a)
  local name, owner, ttl, fence = ARGV[a], ARGV[a + 2], ARGV[a + 3], ARGV[a + 7]
  local present = redis.call('HMGET', lock, 'owner', 'ask', 'fence')
  if not present[1] and opens_in <= 0 then
    return 0
  end
  -- Who acquired it last is right. Another who put it back before had not yet learned of its loss.
  if present[1] and tonumber(present[3]) >= tonumber(fence) then
    return present[1] == owner and process_of(present[2]) == process_of(ARGV[a + 1]) and 1 or 0
  end
  redis.call('HSET', lock, 'owner', owner, 'fence', fence, 'holder', ARGV[a + 4],
    'why', ARGV[a + 5], 'since', ARGV[a + 8], 'ttl', ttl, 'metadata', ARGV[a + 6],
    'ask', ARGV[a + 1])
  redis.call('PEXPIRE', lock, ttl)
  redis.call('ZADD', KEYS[1], text(now + ttl), name)
  if tonumber(redis.call('GET', KEYS[3]) or 0) < tonumber(fence) then
    redis.call('SET', KEYS[3], fence)
  end
  return 1
end

local restored = {era}
for i = 1, #KEYS - 3 do
  restored[i + 1] = restore(KEYS[i + 3], 9 * i - 7)
end
return restored
