-- Adds 1 to a counter that is forgotten a while after its first count.
--
-- KEYS[1]  muster:shared:<key>   string: the counter
-- ARGV[1]  milliseconds after its first count at which it is forgotten
--
-- Returns the counter.

local counted = redis.call('INCR', KEYS[1])
if counted == 1 then redis.call('PEXPIRE', KEYS[1], ARGV[1]) end
return counted
