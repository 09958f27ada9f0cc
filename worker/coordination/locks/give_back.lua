-- Gives locks back by compare-and-delete, leaves queues, and tells whoever is next. Many in one call.
--
-- KEYS[1]  muster:locks        zset: index of the locks
-- and for each
--          muster:lock:<key>          hash: deleted where it is the giver's
--          muster:lock-queue:<key>    zset: waiters, by ticket
--          muster:lock-waiters:<key>  zset: waiters, by when they count as dead (ms)
-- Channel  muster:wake:locks:<process>: the ask that is next, to its process
--
-- ARGV[1]  beginning of the channels
-- and for each
--          name (the quoted key), owner, the ask or the process that must have acquired it ('' for
--          any), the ask that leaves the queue ('' for none)
--
-- Returns for each 1 where the lock was given back, 0 where the giver did not have it

local function tell_the_next(queue, waiters)
  drop_the_dead(queue, waiters)
  local first = redis.call('ZRANGE', queue, 0, 0)[1]
  if first then
    redis.call('PUBLISH', ARGV[1] .. process_of(first), first)
  end
end

local function is_of(lock, owner, by)
  local present = redis.call('HMGET', lock, 'owner', 'ask')
  if present[1] ~= owner then
    return false
  end
  return by == '' or by == present[2] or by == process_of(present[2])
end

local function give_back(k, a)
  local lock, queue, waiters = KEYS[k], KEYS[k + 1], KEYS[k + 2]
  local given = 0
  if is_of(lock, ARGV[a + 1], ARGV[a + 2]) then
    given = redis.call('DEL', lock)
    redis.call('ZREM', KEYS[1], ARGV[a])
  end
  redis.call('ZREM', queue, ARGV[a + 3])
  redis.call('ZREM', waiters, ARGV[a + 3])
  if redis.call('EXISTS', lock) == 0 then
    tell_the_next(queue, waiters)
  end
  return given
end

local given = {}
for i = 1, (#KEYS - 1) / 3 do
  given[i] = give_back(3 * i - 1, 4 * i - 2)
end
return given
