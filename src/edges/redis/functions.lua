#!lua name=writ1
-- The store's side of the feed (DESIGN 3.1 to 3.4): what feed/lease-table.ts says, in the one place where it is atomic.
-- Redis runs one function at a time. Each of them reads and checks everything before its first write. None uses the
-- store's clock, deletes or expires a key. What is written here is a counter or a text; who reads it checks signatures.
--
-- KEYS[1] is the base of all keys, `{writ:<fleet>}`. Under it:
--   :meta          epoch, number, run, sequence, chain of the newest epoch: its head, and what it is bound to
--   :epochs        sorted set of the epochs' numbers;  :heads  number -> the sequence at which it was closed
--   :feed:<n>      the stream of one epoch, ids `<n>-<sequence>`, fields c (chain) and e (entry);  :ids:<n>  entry id -> sequence
--   :roster        incarnation -> `joined <position> <succeeds or ->` or `gone`
--   :leases:<n>    incarnation -> renewals;  :acks:<n>  its latest acknowledgement;  :rows:<n>  `<isCloned> <position> <nonces>`
--   :reports:<n>:<run>  of the epoch that is closed, by incarnation
--   :snapshot      the newest one

local CHAIN_START = '0000000000000000000000000000000000000000'
local NONCES_KEPT = 64
local PAGE_BYTES_MAX = 4 * 1024 * 1024

local function fail(code)
  return redis.error_reply('WRIT ' .. code)
end

-- One lifetime of this server with this history: another one after a restart, and after it was anybody's replica.
local function run_id()
  local info = redis.call('INFO', 'server', 'replication')
  return info:match('run_id:(%x+)') .. '.' .. info:match('master_replid:(%x+)')
end

local function integer(text)
  return type(text) == 'string' and #text <= 15 and text:match('^%d+$') and tonumber(text) or nil
end

local function position_of(text)
  local epoch, sequence = text:match('^(%d+)%-(%d+)$')
  epoch, sequence = integer(epoch), integer(sequence)
  if epoch and sequence then return epoch, sequence end
end

local function place(epoch, sequence)
  return string.format('%.0f-%.0f', epoch, sequence)
end

-- The newest epoch this store knows. Whatever of it makes no sense is no epoch: everything is closed then.
local function read(base)
  local at = redis.call('HMGET', base .. ':meta', 'epoch', 'number', 'run', 'sequence', 'chain')
  local state = { run = run_id(), number = 0, sequence = 0, chain = CHAIN_START }
  local number, sequence = integer(at[2]), integer(at[4])
  if at[1] and number and at[3] and sequence and at[5] then
    state.epoch, state.number, state.sequence, state.chain = at[1], number, sequence, at[5]
    state.is_open = at[3] == state.run
  end
  return state
end

local function head_of(state)
  return place(state.number, state.sequence)
end

local function fields_of(entry)
  local chain, text = '', ''
  for i = 1, #entry[2], 2 do
    if entry[2][i] == 'c' then chain = entry[2][i + 1] end
    if entry[2][i] == 'e' then text = entry[2][i + 1] end
  end
  return chain, text
end

local function line_at(base, epoch, sequence)
  local id = place(epoch, sequence)
  local found = redis.call('XRANGE', base .. ':feed:' .. string.format('%.0f', epoch), id, id)
  if found[1] then return fields_of(found[1]) end
end

-- Up to `limit` lines after a position, flat: position, chain, entry. The second value: nothing is newer than these.
local function newer(base, state, epoch, sequence, limit)
  local lines, count, bytes = {}, 0, 0
  local numbers = redis.call('ZRANGEBYSCORE', base .. ':epochs', string.format('%.0f', epoch), '+inf')
  for _, text in ipairs(numbers) do
    local number = integer(text)
    if number and number <= state.number then
      local from = number == epoch and '(' .. place(epoch, sequence) or '-'
      -- Not further than the head, whatever else somebody has put there.
      local last = number == state.number and state.sequence or integer(redis.call('HGET', base .. ':heads', text) or '')
      local to = last and place(number, last) or '+'
      local more = number ~= epoch or last == nil or last > sequence
      local page = more and redis.call('XRANGE', base .. ':feed:' .. text, from, to, 'COUNT', limit - count + 1) or {}
      for _, entry in ipairs(page) do
        if count == limit or bytes > PAGE_BYTES_MAX then return lines, false end
        local chain, body = fields_of(entry)
        count, bytes = count + 1, bytes + #body
        lines[3 * count - 2], lines[3 * count - 1], lines[3 * count] = entry[1], chain, body
      end
    end
  end
  return lines, true
end

-- Everyone who may have held a lease in this epoch, flat: incarnation, renewals, acknowledgement.
local function rows_of(base, state)
  local rows = {}
  if state.epoch == nil then return rows end
  local number = string.format('%.0f', state.number)
  local leases = redis.call('HGETALL', base .. ':leases:' .. number)
  for i = 1, #leases, 2 do
    if leases[i + 1] ~= 'gone' then
      rows[#rows + 1], rows[#rows + 2] = leases[i], leases[i + 1]
      rows[#rows + 1] = redis.call('HGET', base .. ':acks:' .. number, leases[i]) or ''
    end
  end
  return rows
end

local function row_of(base, number, incarnation)
  local text = redis.call('HGET', base .. ':rows:' .. number, incarnation)
  local row = { is_cloned = false, position = '0-0', nonces = {} }
  if not text then return row end
  local cloned, position, nonces = text:match('^([01]) (%d+%-%d+) ?(.*)$')
  row.is_cloned, row.position = cloned ~= '0', position or '0-0'
  for nonce in (nonces or ''):gmatch('%S+') do row.nonces[#row.nonces + 1] = nonce end
  return row
end

local function keep_row(base, number, incarnation, row)
  local text = (row.is_cloned and '1 ' or '0 ') .. row.position .. ' ' .. table.concat(row.nonces, ' ')
  redis.call('HSET', base .. ':rows:' .. number, incarnation, text)
end

local function includes(list, value)
  for _, one in ipairs(list) do
    if one == value then return true end
  end
  return false
end

-- Takes a request's nonces; the row is cloned, for good, once a request does not know the nonce taken last.
local function take(row, nonces)
  local taken = row.nonces[#row.nonces]
  if taken and not includes(nonces, taken) then row.is_cloned = true end
  if row.is_cloned then return end
  for _, nonce in ipairs(nonces) do
    if not includes(row.nonces, nonce) then row.nonces[#row.nonces + 1] = nonce end
  end
  while #row.nonces > NONCES_KEPT do table.remove(row.nonces, 1) end
end

-- No enforcer may be unknown to everyone else (THREATS 10.6): a first lease waits for one that is acknowledged.
local function may_hold(base, number, incarnation, joined_at, succeeds)
  local leases = redis.call('HGETALL', base .. ':leases:' .. number)
  local is_alone = true
  local epoch, sequence = position_of(joined_at)
  for i = 1, #leases, 2 do
    local holder = leases[i]
    if leases[i + 1] ~= 'gone' then
      is_alone = false
      local at, within = position_of(row_of(base, number, holder).position)
      local knows = at and epoch and (at > epoch or (at == epoch and within >= sequence))
      if holder == incarnation or holder == succeeds or knows then return true end
    end
  end
  return is_alone
end

-- ARGV: incarnation, epoch id, position, chain, nonces, acknowledgement or '', limit.
-- A lease together with everything newer than the cursor, or why not.
local function renew(keys, args)
  local base, incarnation, epoch_id, position, chain = keys[1], args[1], args[2], args[3], args[4]
  local epoch, sequence = position_of(position or '')
  local limit = integer(args[7])
  if #keys ~= 1 or #args ~= 7 or not epoch or not limit or limit < 1 then return fail('MALFORMED') end
  local state = read(base)
  if not state.is_open then return { 'closed', '' } end
  if epoch_id ~= state.epoch then return { 'closed', state.epoch } end
  local admission = redis.call('HGET', base .. ':roster', incarnation)
  if not admission then return { 'stale', 'unknown' } end
  local joined_at, succeeds = admission:match('^joined (%d+%-%d+) (%S+)$')
  if not joined_at then return { 'stale', 'forgotten' } end
  local number = string.format('%.0f', state.number)
  local row = row_of(base, number, incarnation)
  local nonces = {}
  for nonce in args[5]:gmatch('%S+') do nonces[#nonces + 1] = nonce end
  local nonce = nonces[#nonces]
  if not row.is_cloned and (nonce == nil or includes(row.nonces, nonce)) then
    return { 'more', head_of(state), {} }
  end
  local known
  if epoch == 0 and sequence == 0 then known = CHAIN_START
  elseif epoch == state.number and sequence == state.sequence then known = state.chain
  elseif epoch < state.number or (epoch == state.number and sequence < state.sequence) then
    known = line_at(base, epoch, sequence)
  end
  local lines, is_last = newer(base, state, epoch, sequence, limit)
  take(row, nonces)
  -- From here on it writes.
  if row.is_cloned or known ~= chain then
    keep_row(base, number, incarnation, row)
    return { 'stale', row.is_cloned and 'cloned' or 'diverged' }
  end
  row.position = position
  keep_row(base, number, incarnation, row)
  if args[6] ~= '' then redis.call('HSET', base .. ':acks:' .. number, incarnation, args[6]) end
  if not is_last then return { 'more', head_of(state), lines } end
  if not may_hold(base, number, incarnation, joined_at, succeeds) then
    if #lines > 0 then return { 'more', head_of(state), lines } end
    return { 'stale', 'awaiting' }
  end
  redis.call('HINCRBY', base .. ':leases:' .. number, incarnation, 1)
  return { 'lease', head_of(state), lines, rows_of(base, state) }
end

-- ARGV: epoch id, entry id, text, and of a replica's entry: event, incarnation, whom it succeeds or '-'; else three ''.
-- The entry's place in the open epoch, the one it has already if it was appended before.
local function append(keys, args)
  local base, epoch_id, id, text, event, incarnation, succeeds = keys[1], args[1], args[2], args[3], args[4], args[5], args[6]
  if #keys ~= 1 or #args ~= 6 or id == '' or text == '' then return fail('MALFORMED') end
  local state = read(base)
  if not state.is_open or epoch_id ~= state.epoch then return { 'closed' } end
  local number = string.format('%.0f', state.number)
  local known = integer(redis.call('HGET', base .. ':ids:' .. number, id) or '')
  if known then
    local chain = line_at(base, state.number, known)
    if not chain then return fail('DAMAGED') end
    return { 'appended', place(state.number, known), chain, state.run, '1' }
  end
  local at = place(state.number, state.sequence + 1)
  local chain = redis.sha1hex(state.chain .. text)
  -- The one write that can be refused (a foreign entry stands there) comes first.
  local written = redis.pcall('XADD', base .. ':feed:' .. number, at, 'c', chain, 'e', text)
  if type(written) == 'table' and written.err then return fail('DAMAGED') end
  redis.call('HSET', base .. ':meta', 'sequence', string.format('%.0f', state.sequence + 1), 'chain', chain)
  redis.call('HSET', base .. ':ids:' .. number, id, string.format('%.0f', state.sequence + 1))
  if event == 'joined' then
    if redis.call('HGET', base .. ':roster', incarnation) ~= 'gone' then
      redis.call('HSET', base .. ':roster', incarnation, 'joined ' .. at .. ' ' .. succeeds)
    end
  elseif event ~= '' then
    redis.call('HSET', base .. ':roster', incarnation, 'gone')
    redis.call('HSET', base .. ':leases:' .. number, incarnation, 'gone')
  end
  return { 'appended', at, chain, state.run, '0' }
end

-- ARGV: the closed epoch's id or '', run, epoch seconds, the new epoch's id, text. Compare-and-set on the first two.
local function open_epoch(keys, args)
  local base, closed_id, run, epoch_s, epoch_id, text = keys[1], args[1], args[2], integer(args[3]), args[4], args[5]
  if #keys ~= 1 or #args ~= 5 or not epoch_s or epoch_id == '' or text == '' then return fail('MALFORMED') end
  local state = read(base)
  if closed_id ~= (state.epoch or '') or run ~= state.run then return { 'lost' } end
  local newest = redis.call('ZREVRANGE', base .. ':epochs', 0, 0)[1]
  local number = math.max(epoch_s, state.number + 1, (integer(newest) or 0) + 1)
  -- What stands there already is somebody else's.
  while redis.call('EXISTS', base .. ':feed:' .. string.format('%.0f', number)) == 1 do number = number + 1 end
  local name = string.format('%.0f', number)
  local chain = redis.sha1hex(CHAIN_START .. text)
  redis.call('XADD', base .. ':feed:' .. name, place(number, 1), 'c', chain, 'e', text)
  redis.call('ZADD', base .. ':epochs', number, name)
  if state.epoch then
    redis.call('HSET', base .. ':heads', string.format('%.0f', state.number), string.format('%.0f', state.sequence))
  end
  redis.call('HSET', base .. ':meta', 'epoch', epoch_id, 'number', name, 'run', run, 'sequence', '1', 'chain', chain)
  return { 'opened', place(number, 1), chain }
end

-- ARGV: a position or ''. One reading of everything a coordinator judges by.
local function roster(keys, args)
  local base = keys[1]
  local state = read(base)
  local chain, text
  local epoch, sequence = position_of(args[1] or '')
  local is_held = epoch and (epoch < state.number or (epoch == state.number and sequence <= state.sequence))
  if is_held then chain, text = line_at(base, epoch, sequence) end
  local open, closed = state.is_open and state.epoch or '', not state.is_open and state.epoch or ''
  return { open, closed, state.run, head_of(state), rows_of(base, state), chain or '', text or '' }
end

-- ARGV: incarnation, closed epoch's id, run, text. Kept when it names this run; all that were kept about that epoch, the
-- latest last.
local function report(keys, args)
  local base, incarnation, closed_id, run, text = keys[1], args[1], args[2], args[3], args[4]
  if #keys ~= 1 or #args ~= 4 then return fail('MALFORMED') end
  local state = read(base)
  local kept = base .. ':reports:' .. string.format('%.0f', state.number) .. ':' .. state.run
  if run == state.run then
    local count = redis.call('HINCRBY', kept, 'count', 1)
    redis.call('HSET', kept, closed_id .. ' ' .. incarnation, string.format('%015d ', count) .. text)
  end
  local all, reports = redis.call('HGETALL', kept), {}
  for i = 1, #all, 2 do
    if all[i]:match('^(%S+) ') == closed_id then reports[#reports + 1] = all[i + 1] end
  end
  table.sort(reports)
  for i, one in ipairs(reports) do reports[i] = one:sub(17) end
  return reports
end

-- ARGV: epoch id, position, digest, chunks. Kept if it is newer than the one that is there.
local function write_snapshot(keys, args)
  local base, epoch, sequence = keys[1], position_of(args[2] or '')
  if #keys ~= 1 or not epoch then return fail('MALFORMED') end
  local known = redis.call('HGET', base .. ':snapshot', 'position')
  local at, within = position_of(known or '')
  if at and (at > epoch or (at == epoch and within >= sequence)) then return 0 end
  redis.call('HSET', base .. ':snapshot', 'epoch', args[1], 'position', args[2], 'digest', args[3], 'chunks', #args - 3)
  for i = 4, #args do redis.call('HSET', base .. ':snapshot', 'chunk' .. (i - 3), args[i]) end
  return 1
end

-- The newest snapshot: epoch id, position, digest, chunks; nothing when there is none.
local function read_snapshot(keys)
  local base = keys[1]
  local head = redis.call('HMGET', base .. ':snapshot', 'epoch', 'position', 'digest', 'chunks')
  local count = integer(head[4])
  if not count then return {} end
  local reply = { head[1], head[2], head[3] }
  for i = 1, count do reply[#reply + 1] = redis.call('HGET', base .. ':snapshot', 'chunk' .. i) or '' end
  return reply
end

redis.register_function('writ1_renew', renew)
redis.register_function('writ1_append', append)
redis.register_function('writ1_open_epoch', open_epoch)
redis.register_function('writ1_report', report)
redis.register_function('writ1_write_snapshot', write_snapshot)
redis.register_function{ function_name = 'writ1_roster', callback = roster, flags = { 'no-writes' } }
redis.register_function{ function_name = 'writ1_read_snapshot', callback = read_snapshot, flags = { 'no-writes' } }
