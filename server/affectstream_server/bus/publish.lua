-- Adds the next events of one session to its log and to its tenant's, each once.
-- KEYS: the session's log, the sessions of its id, the tenant's log, its trimmed and its began mark, its owner's
-- open sessions.
-- ARGV: incarnation, the session among its owner's, retention in ms, events of a log, events of a tenant's log,
-- where the first event here is the oldest that its owner has "1", or "2" to write the log anew, the sequence from
-- which events belong into the tenant's log too; then for each event its epoch, sequence, marks and data.
-- Answers with a word and the newest sequence of the log: ok; behind, events before these are missing; ended,
-- somebody else said the session's last word.
local log, ids, tenant, trimmed, began, open = unpack(KEYS)
local incarnation, member, age_ms, most, tenant_most = unpack(ARGV, 1, 5)
local from_start, anew, tenant_from = ARGV[6] ~= '0', ARGV[6] == '2', tonumber(ARGV[7])

-- What is published on a log's channel: the id before, then of each event its id and its fields' values, each with
-- its length before it.
local news = {[log] = {}, [tenant] = {}}
local function tell(channel, ...)
  for _, part in ipairs({...}) do
    table.insert(news[channel], struct.pack('>I4', #part))
    table.insert(news[channel], part)
  end
end
local function number(id) return tonumber(string.match(id, '%-(%d+)$')) end
local function is_last(marks) return string.find(marks, 'l', 1, true) ~= nil end

if anew then redis.call('DEL', log) end
local last = 0
local info = redis.pcall('XINFO', 'STREAM', log)
if not info.err then
  for i = 1, #info, 2 do
    if info[i] == 'last-generated-id' then last = number(info[i + 1]) end
  end
end
if tonumber(ARGV[9]) > last + 1 and not from_start then return {'behind', last} end
local newest = redis.call('XREVRANGE', log, '+', '-', 'COUNT', 1)[1]
if newest and is_last(newest[2][2]) then
  for i = 8, #ARGV, 4 do
    local sequence = tonumber(ARGV[i + 1])
    if sequence > last or sequence == last and not is_last(ARGV[i + 2]) then return {'ended', last} end
  end
end

local before = redis.call('XREVRANGE', tenant, '+', '-', 'COUNT', 1)[1]
tell(log, '0-' .. last)
tell(tenant, before and before[1] or '0-0')
local time = redis.call('TIME')
local now_ms = time[1] * 1000 + math.floor(time[2] / 1000)
local ended = false
for i = 8, #ARGV, 4 do
  local sequence = tonumber(ARGV[i + 1])
  ended = ended or is_last(ARGV[i + 2])
  if sequence > last then
    local id = ARGV[i] .. '-' .. ARGV[i + 1]
    redis.call('XADD', log, id, 'm', ARGV[i + 2], 'd', ARGV[i + 3])
    tell(log, id, ARGV[i + 2], ARGV[i + 3])
    last = sequence
    if sequence >= tenant_from then
      if redis.call('EXISTS', tenant, began) == 0 then
        redis.call('SET', began, string.format('%.0f', now_ms - 1))
      end
      local mark = redis.call('GET', began)
      local at = redis.call('XADD', tenant, '*', 'm', ARGV[i + 2], 'd', ARGV[i + 3], 'i', incarnation, 'p', id,
        'b', mark)
      tell(tenant, at, ARGV[i + 2], ARGV[i + 3], incarnation, id, mark)
    end
  end
end

redis.call('XTRIM', log, 'MAXLEN', most)
redis.call('XTRIM', tenant, 'MINID', string.format('%.0f', now_ms - age_ms))
local over = redis.call('XLEN', tenant) - tenant_most
if over > 0 then
  local gone = redis.call('XRANGE', tenant, '-', '+', 'COUNT', over)
  redis.call('SET', trimmed, gone[#gone][1])
  redis.call('XTRIM', tenant, 'MAXLEN', tenant_most)
end
redis.call('ZADD', ids, 0, incarnation)
if ended then redis.call('SREM', open, member) else redis.call('SADD', open, member) end
for _, key in ipairs({log, ids, tenant, open}) do redis.call('PEXPIRE', key, age_ms) end
for _, key in ipairs({trimmed, began}) do redis.call('PEXPIRE', key, 25 * age_ms) end
redis.call('PUBLISH', log, anew and '' or table.concat(news[log]))
redis.call('PUBLISH', tenant, table.concat(news[tenant]))
return {'ok', last}
