-- Asks for locks: each is given, or else its asker waits in line. Many asks in one call.
--
-- KEYS[1]  muster:locks        zset: index of the locks, by when they lapse (ms)
-- KEYS[2]  muster:locks:era    hash: id, opens (ms); made here where it is missing
-- KEYS[3]  muster:fence        string: the last fencing number
-- and for each ask
--          muster:lock:<key>          hash: owner, fence, holder, why, since (us), ttl (ms), metadata,
--                                     ask (which ask acquired it)
--          muster:lock-queue:<key>    zset: waiters, by ticket
--          muster:lock-waiters:<key>  zset: waiters, by when they count as dead (ms)
--
-- ARGV[1]  how long a new era gives nothing out, ms
-- ARGV[2]  the last fencing number that the process has seen
-- ARGV[3]  how long a waiter counts as alive, ms
-- and for each ask
--          name (the quoted key), ask, owner, ttl (ms), holder, why, metadata,
--          ticket ('' for a new one), waits ('1' to stand in line, '0' to leave it)
--
-- Returns for each ask one of
--          {'got', ticket, fence, since, era}
--          {'held', ticket, holder, since, why, ms until it lapses}
--          {'opening', ticket, ms until this era gives out locks, era}
--          {'behind', ticket, how many wait}

local seen = tonumber(ARGV[2])
local term = tonumber(ARGV[3])
local era, opens_in = era_of(KEYS[2], ARGV[1])

-- Rises with every acquisition. After a flush the counter is gone; the clock then carries on.
local function next_fence()
  local last = tonumber(redis.call('GET', KEYS[3]) or 0)
  local fence = text(math.max(last + 1, micros, seen + 1))
  redis.call('SET', KEYS[3], fence)
  return fence
end

local function leave(queue, waiters, ask)
  redis.call('ZREM', queue, ask)
  redis.call('ZREM', waiters, ask)
end

local function stand(queue, waiters, ask, ticket)
  if ticket == '' then
    local last = redis.call('ZREVRANGE', queue, 0, 0, 'WITHSCORES')[2] or 0
    ticket = text(math.max(last + 1, micros))
  end
  redis.call('ZADD', queue, ticket, ask)
  redis.call('ZADD', waiters, text(now + term), ask)
  redis.call('PEXPIRE', queue, term)
  redis.call('PEXPIRE', waiters, term)
  return ticket
end

local function answer(k, a)
  local lock, queue, waiters = KEYS[k], KEYS[k + 1], KEYS[k + 2]
  local name, ask, owner, ttl = ARGV[a], ARGV[a + 1], ARGV[a + 2], ARGV[a + 3]
  local ticket = ARGV[a + 7]
  drop_the_dead(queue, waiters)
  if ARGV[a + 8] == '1' then
    ticket = stand(queue, waiters, ask, ticket)
  end
  local held = redis.call('HMGET', lock, 'owner', 'holder', 'since', 'why')
  local first = redis.call('ZRANGE', queue, 0, 0)[1]
  local is_next = not held[1] and opens_in <= 0 and (not first or first == ask)
  if held[1] == owner or is_next then
    local fence, since = next_fence(), held[3] or text(micros)
    redis.call('HSET', lock, 'owner', owner, 'fence', fence, 'holder', ARGV[a + 4],
      'why', ARGV[a + 5], 'since', since, 'ttl', ttl, 'metadata', ARGV[a + 6], 'ask', ask)
    redis.call('PEXPIRE', lock, ttl)
    redis.call('ZADD', KEYS[1], text(now + ttl), name)
    leave(queue, waiters, ask)
    return {'got', ticket, fence, since, era}
  end
  if ARGV[a + 8] == '0' then
    leave(queue, waiters, ask)
  end
  if held[1] then
    return {'held', ticket, held[2], held[3], held[4], text(redis.call('PTTL', lock))}
  end
  if opens_in > 0 then
    return {'opening', ticket, text(opens_in), era}
  end
  return {'behind', ticket, text(redis.call('ZCARD', queue))}
end

local answers = {}
for i = 1, (#KEYS - 3) / 3 do
  answers[i] = answer(3 * i + 1, 9 * i - 5)
end
return answers
