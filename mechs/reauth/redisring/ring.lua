-- KEYS[1]: the ring's octets, a string.
-- ARGV: the version that is to be replaced, or nothing to read only; the new octets.
-- Returns what happened: "written", or "read" with the version and the octets, of
-- which there are none if they are more than a ring can have. A version is the octets' hash.
if redis.call('INFO', 'replication'):match('role:(%a+)') ~= 'master' then return {'replica'} end
if redis.call('INFO', 'memory'):match('maxmemory_policy:([%w-]+)') ~= 'noeviction' then return {'policy'} end
local b = redis.call('GET', KEYS[1]) or ''
local version = redis.sha1hex(b)
if ARGV[1] == version then
  redis.call('SET', KEYS[1], ARGV[2])
  return {'written'}
end
if #b > 65536 then b = '' end
return {'read', version, b}
