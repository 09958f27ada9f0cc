-- Forgets a key if it has a certain value.
--
-- KEYS[1]  muster:shared:<key>   string
-- ARGV[1]  the value
--
-- Returns 1 where it had that value, otherwise 0.

if redis.call('GET', KEYS[1]) ~= ARGV[1] then return 0 end
return redis.call('DEL', KEYS[1])
