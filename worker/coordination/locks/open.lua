-- Gives out locks from now on: whoever calls knows that nobody else can hold one.
--
-- KEYS[1]  muster:locks:era    hash: id, opens (ms)
-- ARGV[1]  the id of the era that it is known of

if redis.call('HGET', KEYS[1], 'id') == ARGV[1] then
  redis.call('HSET', KEYS[1], 'opens', text(now))
end
return 1
