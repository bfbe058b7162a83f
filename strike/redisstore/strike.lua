-- KEYS[1]: the sorted set. A member of 32 octets is a key, its score is its until in
-- Unix microseconds. The other members have names that are shorter or longer, and
-- scores of 0 or less: "since", "floor", "hw" (the highest clock ever seen) count
-- down from 0; "id ..." says which Redis this is.
-- ARGV: key, or nothing to look only; from; until; the caller's clock; skew; the most
-- entries; since at least. Times are Unix microseconds.
-- Returns what happened, and since.
local z, key = KEYS[1], ARGV[1]
local from, untl, mine = tonumber(ARGV[2]), tonumber(ARGV[3]), tonumber(ARGV[4])
local skew, entries, atleast = tonumber(ARGV[5]), tonumber(ARGV[6]), tonumber(ARGV[7])

local function get(name)
  local s = redis.call('ZSCORE', z, name)
  return s and -tonumber(s)
end
local function put(name, v)
  redis.call('ZADD', z, string.format('%.0f', -v), name)
end

local replication = redis.call('INFO', 'replication')
if replication:match('role:(%a+)') ~= 'master' then return {'replica', '0'} end
local t = redis.call('TIME')
local now = tonumber(t[1]) * 1000000 + tonumber(t[2])
if math.abs(now - mine) > skew then return {'clock', string.format('%.0f', now)} end

local id = 'id ' .. redis.call('INFO', 'server'):match('run_id:(%w+)')
  .. ' ' .. replication:match('master_replid:(%w+)')
local since, floor, hw = get('since'), get('floor') or 0, get('hw') or 0
if not since or not get(id) or key == '' then
  local policy = redis.call('INFO', 'memory'):match('maxmemory_policy:([%w-]+)')
  if policy ~= 'noeviction' then return {'policy', '0'} end
  if (redis.call('INFO', 'cluster'):match('cluster_enabled:(%d)') or '0') ~= '0' then return {'cluster', '0'} end
end
if not since or not get(id) then
  -- Nobody's from was later than his clock, and no clock later than this.
  since = math.max(since or 0, hw + skew, now + skew, mine + skew) + 1
  for _, old in ipairs(redis.call('ZRANGEBYSCORE', z, '-1', '-1')) do redis.call('ZREM', z, old) end
  put('since', since)
  put('floor', floor)
  put('hw', math.max(hw, now, mine))
  put(id, 1)
end
if atleast > since then
  since = atleast
  put('since', since)
end
local function answer(what) return {what, string.format('%.0f', since)} end
if key == '' then return answer('open') end

if from < since or from > mine then return answer('unsure') end
if redis.call('ZSCORE', z, key) then return answer('seen') end

local function purge(n)
  local old = redis.call('ZRANGEBYSCORE', z, '(0', string.format('(%.0f', now - skew), 'WITHSCORES', 'LIMIT', '0', n)
  for i = 1, #old, 2 do
    redis.call('ZREM', z, old[i])
    floor = math.max(floor, tonumber(old[i + 1]))
  end
  if #old > 0 then put('floor', floor) end
end
purge(4)
if redis.call('ZCARD', z) - 4 >= entries then purge(64) end
if untl <= floor then return answer('unsure') end
if redis.call('ZCARD', z) - 4 >= entries then return answer('full') end
redis.call('ZADD', z, string.format('%.0f', untl), key)
if math.max(now, mine) > hw then put('hw', math.max(now, mine)) end
return answer('first')
