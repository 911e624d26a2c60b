#!lua name=writ1
-- The store's side of the feed (DESIGN 3.1 to 3.4): what feed/lease-table.ts says, in the one place where it is atomic.
-- Redis runs one function at a time. Each of them reads and checks everything before its first write. None deletes or expires a
-- key, and by the store's clock only rows are let go of that have been over for a quarter of an hour. What is written here is a counter or a text; who reads it checks signatures.
--
-- KEYS[1] is the base of all keys, `{writ:<fleet>}`; :meta under it has generation, epoch, number, run, sequence and chain of
-- the newest epoch: its head, and what it is bound to. A generation is one copy of the history: a copy that somebody has
-- damaged is never mended, another one is put beside it (restore) and takes its place with the next epoch. Under <base>:<g>
--   :epochs        sorted set of the epochs' numbers;  :heads  number -> the sequence at which it was closed
--   :feed:<n>      the stream of one epoch, ids `<n>-<sequence>`, fields c (chain) and e (entry)
--   :roster        incarnation -> `joined <position>` or `gone`
--   :reports:<n>:<run>  of the epoch that is closed, by incarnation
--   :staged        the head of a copy that is being restored, and where it begins
-- and <base>:snapshot, the newest one (or :snapshot:<i>, i in :meta, where somebody has put another type there): its head, whose `slot` says where its chunks are, `a:<i>` or `b:<i>`, while the next one is
-- staged in the other; `a` and `b` say what is there, `<digest> <count>`. What is not needed any more is overwritten by nothing.
--
-- An epoch lives no longer than this process, so what is true only in an epoch is kept in no key. Keys can be swapped, restored
-- from a copy or written by a hostile client while this process goes on; these cannot:
--   known     the head that these functions wrote last in an open epoch: one that is another is no open epoch
--   openings  how many epochs they have opened: the run that an epoch is bound to says which opening it was, so that nothing
--             signed for one (an epoch's entry, a report, a copy that was put back) is good for another
--   rows      of the lease table: what nobody but a renewal can move, nobody can hold still or hide
--   windows   the ids of the entries in the open epoch's stream, so that none is appended twice, and what of it may go (trim)
--   snapshots  place and digest of the one that was written last, so that a place written over it holds up none that is newer
-- A process or a library that has just been loaded knows nothing: everything is closed.

local CHAIN_START = '0000000000000000000000000000000000000000'
local NONCES_KEPT = 64
-- Redis and who applies it are held by no more than this in one go.
local PAGE_BYTES_MAX = 512 * 1024
local READ_AT_ONCE = 16
-- Behind everything an epoch can have.
local LAST_SEQUENCE = 999999999999999
-- Who writes that there were so many begins them anew: the next one is the first that is free.
local LAST_GENERATION = 999999999
local TRIMMED_AT_ONCE = 16
-- As feed/entry.ts has it: nobody could keep what is larger.
local ENTRY_BYTES_MAX = 16 * 1024 * 1024 - 256
-- Longer than any lease.
local GONE_KEPT_S = 900
-- What is kept in memory is kept for no more bases than this; who has an epoch open is pushed out by nobody.
local BASES_MAX = 64

local function fail(code)
  return redis.error_reply('WRIT ' .. code)
end

local function integer(text)
  return type(text) == 'string' and #text <= 15 and text:match('^%d+$') and tonumber(text) or nil
end

local function generation_of(text)
  local generation = integer(text)
  return generation and generation <= LAST_GENERATION and generation or nil
end

local function position_of(text)
  local epoch, sequence = text:match('^(%d+)%-(%d+)$')
  epoch, sequence = integer(epoch), integer(sequence)
  if epoch and sequence then return epoch, sequence end
end

local function place(epoch, sequence)
  return string.format('%.0f-%.0f', epoch, sequence)
end

local function whole(number)
  return string.format('%.0f', number)
end

local known, openings, rows, windows, snapshots, born, bases = {}, {}, {}, {}, {}, nil, 0

-- One lifetime of this library in this server with this history: another one after a restart, and after it was anybody's
-- replica. An opening in it has its number behind this.
local function lifetime()
  if not born then
    local info = redis.call('INFO', 'server')
    born = { run = info:match('run_id:(%x+)'), loaded = info:match('server_time_usec:(%d+)') }
  end
  local history = redis.call('INFO', 'replication'):match('master_replid:(%x+)')
  return table.concat({ born.run, history, born.loaded, '' }, '.')
end

local function head_of(state)
  return place(state.number, state.sequence)
end

-- Two heads are one when all of this is the same.
local function mark_of(state)
  if state.epoch == nil then return '' end
  return table.concat({ state.generation, state.epoch, head_of(state), state.chain }, ' ')
end

local function head_in(key, state)
  local at = redis.call('HMGET', key, 'epoch', 'number', 'sequence', 'chain')
  local number, sequence = integer(at[2]), integer(at[3])
  if not (at[1] and at[1]:match('^[%w_-]+$') and number and sequence) then return false end
  if not (at[4] and #at[4] == 40 and at[4]:match('^%x+$')) then return false end
  state.epoch, state.number, state.sequence, state.chain = at[1], number, sequence, at[4]
  return true
end

-- The newest epoch this store knows. Whatever of it makes no sense is no epoch: everything is closed then.
local function read(base)
  local bound = redis.call('HMGET', base .. ':meta', 'generation', 'run')
  local life, opened = lifetime(), openings[base] or 0
  -- Open or not, the next epoch is bound to `next`.
  local state = { next = life .. whole(opened), number = 0, sequence = 0, chain = CHAIN_START }
  state.generation = generation_of(bound[1]) and bound[1] or '0'
  state.at = base .. ':' .. state.generation
  local run = life .. whole(opened - 1)
  state.is_open = head_in(base .. ':meta', state) and bound[2] == run and known[base] == mark_of(state)
  state.run = state.is_open and run or state.next
  return state
end

-- A copy that is being restored, as if it were the newest.
local function read_staged(base, generation, run)
  local state = { run = run, number = 0, sequence = 0, chain = CHAIN_START, generation = generation, is_open = false }
  state.at = base .. ':' .. generation
  head_in(state.at .. ':staged', state)
  state.begins = redis.call('HGET', state.at .. ':staged', 'begins')
  return state
end

local function fields_of(entry)
  local chain, text = '', ''
  for i = 1, #entry[2], 2 do
    if entry[2][i] == 'c' then chain = entry[2][i + 1] end
    if entry[2][i] == 'e' then text = entry[2][i + 1] end
  end
  return chain, text
end

local function line_at(state, epoch, sequence)
  local id = place(epoch, sequence)
  local found = redis.call('XRANGE', state.at .. ':feed:' .. whole(epoch), id, id)
  if found[1] then return fields_of(found[1]) end
end

-- The numbers of a copy's epochs from `epoch` on, in their order. Who may write the set may give a number any score: by scores
-- alone the newest epoch could be hidden, and with it every line that a lease has to bring.
local function numbers_from(state, epoch)
  local numbers = {}
  for _, text in ipairs(redis.call('ZRANGEBYSCORE', state.at .. ':epochs', '-inf', '+inf')) do
    local number = integer(text)
    if number and whole(number) == text and number >= epoch and number < state.number then numbers[#numbers + 1] = number end
  end
  table.sort(numbers)
  if epoch <= state.number then numbers[#numbers + 1] = state.number end
  return numbers
end

-- Up to `limit` lines after a position, flat: position, chain, entry. The second value: nothing is newer than these.
local function newer(state, epoch, sequence, limit)
  local lines, count, bytes = {}, 0, 0
  for _, number in ipairs(numbers_from(state, epoch)) do
    local from = number == epoch and '(' .. place(epoch, sequence) or '-'
    -- Not further than the head, whatever else somebody has put there.
    local last = number == state.number and state.sequence
      or integer(redis.call('HGET', state.at .. ':heads', whole(number)) or '')
    local to = last and place(number, last) or '+'
    local more = number ~= epoch or last == nil or last > sequence
    local feed = state.at .. ':feed:' .. whole(number)
    while more do
      -- A few at a time: they may be large, and those that do not fit were read in vain.
      local asked = math.min(count + 1, READ_AT_ONCE)
      local page = redis.call('XRANGE', feed, from, to, 'COUNT', asked)
      for _, entry in ipairs(page) do
        if count == limit or bytes > PAGE_BYTES_MAX then return lines, false end
        local chain, body = fields_of(entry)
        count, bytes = count + 1, bytes + #body
        lines[3 * count - 2], lines[3 * count - 1], lines[3 * count] = entry[1], chain, body
        from = '(' .. entry[1]
      end
      more = #page == asked
    end
  end
  return lines, true
end

-- The sequence of the oldest line of an epoch that is there; nil without one.
local function oldest_in(state, number)
  local oldest = redis.call('XRANGE', state.at .. ':feed:' .. whole(number), '-', '+', 'COUNT', 1)[1]
  local _, within = position_of(oldest and oldest[1] or '')
  return within
end

-- Whether what is held begins after a cursor. `held`: the chain at the cursor.
local function is_trimmed(state, epoch, sequence, held)
  if held and epoch > 0 then return false end
  local begun, within
  for _, number in ipairs(numbers_from(state, 0)) do
    -- A number under which nothing stands is none.
    within = oldest_in(state, number)
    if within then begun = number break end
  end
  if epoch == 0 or not begun then return within ~= 1 and begun ~= nil end
  if epoch > begun then within = oldest_in(state, epoch) end
  return within ~= nil and within > 1 and (epoch < begun or within > sequence)
end

-- Everyone who may have held a lease in this epoch, flat: incarnation, renewals, acknowledgement.
local function rows_of(base)
  local names, flat = {}, {}
  for incarnation, row in pairs(rows[base] or {}) do
    if row.renewals > 0 then names[#names + 1] = incarnation end
  end
  table.sort(names)
  for i, incarnation in ipairs(names) do
    local row = rows[base][incarnation]
    flat[3 * i - 2], flat[3 * i - 1], flat[3 * i] = incarnation, whole(row.renewals), row.acknowledgement
  end
  return flat
end

local function row_of(base, incarnation)
  local all = rows[base] or {}
  rows[base] = all
  all[incarnation] = all[incarnation] or { renewals = 0, acknowledgement = '', is_cloned = false, nonces = {} }
  return all[incarnation]
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

-- The epoch that is open is over: nobody is granted anything before the next one.
local function close(base, at)
  known[base] = nil
  redis.call('HSET', base .. ':meta', 'run', '-')
  redis.call('PUBLISH', base .. ':news', at)
end

-- ARGV: incarnation, epoch id, position, chain, nonces, acknowledgement or '', limit, the id of the epoch the position is in or ''.
-- A lease together with everything newer than the cursor, or a page of that, or why not. A page is a lease
-- as well to who has been granted one, once everything up to the head that it names is applied.
local function renew(keys, args)
  local base, incarnation, epoch_id, position, chain = keys[1], args[1], args[2], args[3], args[4]
  local epoch, sequence = position_of(position or '')
  local limit = integer(args[7])
  if #keys ~= 1 or #args ~= 8 or not epoch or not limit or limit < 1 then return fail('MALFORMED') end
  local state = read(base)
  if not state.is_open then return { 'closed', '' } end
  if epoch_id ~= state.epoch then return { 'closed', state.epoch } end
  local admission = redis.call('HGET', state.at .. ':roster', incarnation)
  if admission == 'gone' then return { 'stale', 'forgotten' } end
  -- Whatever else somebody has put there: nobody has forgotten it, and it is known again in the next epoch.
  if not admission or not admission:match('^joined ') then return { 'stale', 'unknown' } end
  local row = row_of(base, incarnation)
  local nonces = {}
  for nonce in args[5]:gmatch('%S+') do nonces[#nonces + 1] = nonce end
  local nonce = nonces[#nonces]
  if not row.is_cloned and (nonce == nil or includes(row.nonces, nonce)) then
    return { 'more', head_of(state), {} }
  end
  local held
  if epoch == 0 and sequence == 0 then held = CHAIN_START
  elseif epoch == state.number and sequence == state.sequence then held = state.chain
  elseif epoch < state.number or (epoch == state.number and sequence < state.sequence) then
    held = line_at(state, epoch, sequence)
  end
  take(row, nonces)
  if row.is_cloned then return { 'stale', 'cloned' } end
  -- What it lacks is in a snapshot. Nobody has lost anything.
  if is_trimmed(state, epoch, sequence, held) then
    -- Unless somebody has written ahead of the head, which can make what is before it go. Nothing can follow in this epoch.
    local feed = state.at .. ':feed:' .. whole(state.number)
    if redis.call('XRANGE', feed, '(' .. head_of(state), '+', 'COUNT', 1)[1] then
      close(base, head_of(state))
      return { 'closed', '' }
    end
    return { 'stale', 'trimmed' }
  end
  if held ~= chain then
    -- Of another epoch, whatever its number, who has other lines than are here judges by what comes after it, if anything.
    if args[8] ~= state.epoch then sequence = LAST_SEQUENCE
    else
      -- One of the two has lost what the other has. Who is right is settled by what everyone puts back.
      close(base, head_of(state))
      return { 'closed', '' }
    end
  end
  local lines, is_last = newer(state, epoch, sequence, limit)
  if args[6] ~= '' then row.acknowledgement = args[6] end
  -- Who has never held one is nobody to wait for while it catches up.
  local is_holder = row.renewals > 0
  if is_holder or is_last then row.renewals, row.gone_s = row.renewals + 1, nil end
  if not is_last and not is_holder then return { 'more', head_of(state), lines } end
  return { is_last and 'lease' or 'more', head_of(state), lines, rows_of(base), state.run }
end

-- For what may be let go of after so long, and for nothing else.
local function now_s()
  return tonumber(redis.call('INFO', 'server'):match('server_time_usec:(%d+)')) / 1000000
end

-- Nobody here can tell who signed that one is gone. If nobody did, it has a lease that may be good yet: its row stays until it is over.
local function retire(base, incarnation)
  local all, now = rows[base] or {}, now_s()
  for one, row in pairs(all) do
    if row.gone_s and now - row.gone_s > GONE_KEPT_S then all[one] = nil end
  end
  if all[incarnation] then all[incarnation].gone_s = now end
end

-- Writes what an entry of a replica says of it: who joined may be given leases, who is gone never again.
local function note_replica(base, state, at, event, incarnation)
  if event == 'joined' then
    if redis.call('HGET', state.at .. ':roster', incarnation) ~= 'gone' then
      redis.call('HSET', state.at .. ':roster', incarnation, 'joined ' .. at)
    end
  elseif event ~= '' then
    redis.call('HSET', state.at .. ':roster', incarnation, 'gone')
    retire(base, incarnation)
  end
end

-- False when somebody else's entry stands there. What is before the sequence `first`, if it is given, goes.
local function write_line(state, at, chain, text, first)
  local feed = state.at .. ':feed:' .. whole(state.number)
  local written
  if first then written = redis.pcall('XADD', feed, 'MINID', '=', place(state.number, first), at, 'c', chain, 'e', text)
  else written = redis.pcall('XADD', feed, at, 'c', chain, 'e', text) end
  return not (type(written) == 'table' and written.err)
end

-- Up to where lines go with the next one: a few at a time, and none from the floor on.
local function overdue(window)
  return math.min(window.first + TRIMMED_AT_ONCE, window.floor)
end

-- Called once what is before `first` went, and `id` came.
local function slide(window, first, id, sequence)
  for gone = window.first, first - 1 do
    -- Its line is in every view by now: none needs the store to know that it was there.
    local id_gone = window.ids[gone]
    if id_gone then window.sequences[id_gone] = nil end
    window.ids[gone] = nil
  end
  window.first, window.ids[sequence], window.sequences[id] = first, id, sequence
end

-- ARGV: epoch id, entry id, text, and of a replica's entry: event, incarnation; else two ''.
-- The entry's place in the open epoch, the one it has already if it was appended before.
local function append(keys, args)
  local base, epoch_id, id, text = keys[1], args[1], args[2], args[3]
  if #keys ~= 1 or #args ~= 5 or id == '' or text == '' or #text > ENTRY_BYTES_MAX then return fail('MALFORMED') end
  local state = read(base)
  if not state.is_open or epoch_id ~= state.epoch then return { 'closed' } end
  local window = windows[base]
  local before = window.sequences[id]
  if before then
    local chain = line_at(state, state.number, before)
    if not chain then return fail('DAMAGED') end
    return { 'appended', place(state.number, before), chain, state.run, '1' }
  end
  local sequence = state.sequence + 1
  local at = place(state.number, sequence)
  local chain = redis.sha1hex(state.chain .. text)
  local first = overdue(window)
  -- The one write that can be refused comes first: somebody else's entry stands there. Nothing can follow in this epoch.
  if not write_line(state, at, chain, text, first) then
    close(base, at)
    return { 'closed' }
  end
  redis.call('HSET', base .. ':meta', 'sequence', whole(sequence), 'chain', chain)
  state.sequence, state.chain = sequence, chain
  known[base] = mark_of(state)
  slide(window, first, id, sequence)
  note_replica(base, state, at, args[4], args[5])
  redis.call('PUBLISH', base .. ':news', at)
  return { 'appended', at, chain, state.run, '0' }
end

-- ARGV: those of an append that says `forgotten`, and how often its row was seen to renew ('0' without a row).
-- The entry and the end of all its leases in one step, unless it has renewed since.
local function forget(keys, args)
  local base, epoch_id, incarnation = keys[1], args[1], args[5]
  if #keys ~= 1 or #args ~= 6 or args[4] ~= 'forgotten' or not integer(args[6]) then return fail('MALFORMED') end
  local state = read(base)
  if not state.is_open or epoch_id ~= state.epoch then return { 'closed' } end
  local admission = redis.call('HGET', state.at .. ':roster', incarnation)
  local row = rows[base] and rows[base][incarnation]
  if not admission or admission == 'gone' or (row and row.renewals or 0) ~= integer(args[6]) then return { 'lost' } end
  args[6] = nil
  return append(keys, args)
end

-- False where somebody has put another type: who has our rights cannot undo that.
local function is_hash(key)
  return type(redis.pcall('HGET', key, '')) ~= 'table'
end

-- Where the newest snapshot is.
local function snapshot_key(base)
  local number = generation_of(redis.call('HGET', base .. ':meta', 'snapshot'))
  return number and base .. ':snapshot:' .. whole(number) or base .. ':snapshot'
end

-- The place of the snapshot that is there, if it may be believed: what was written here, or what is not beyond the head.
local function snapshot_place(base, key)
  if not is_hash(key) then return nil end
  local head = redis.call('HMGET', key, 'position', 'digest')
  local written = snapshots[base]
  if written and written.digest == head[2] then return written.epoch, written.sequence end
  local state = read(base)
  local epoch, sequence = position_of(head[1] or '')
  if not epoch or state.epoch == nil then return epoch, sequence end
  if epoch < state.number or (epoch == state.number and sequence <= state.sequence) then return epoch, sequence end
end

local function can_be_written(state)
  return is_hash(state.at .. ':heads') and is_hash(state.at .. ':roster')
    and not redis.pcall('ZRANGEBYSCORE', state.at .. ':epochs', 0, 0, 'LIMIT', 0, 1).err
end

local function is_epoch_whole(state, number, begins)
  local last = number == state.number and state.sequence or integer(redis.call('HGET', state.at .. ':heads', whole(number)) or '')
  local feed = state.at .. ':feed:' .. whole(number)
  local oldest = redis.call('XRANGE', feed, place(number, 0), last and place(number, last) or '+', 'COUNT', 1)[1]
  -- A number under which nothing stands is none.
  if not oldest and not last then return true end
  local _, first = position_of(oldest and oldest[1] or '')
  if not first or not last or first > begins or not line_at(state, number, last) then return false end
  return number == state.number or not line_at(state, number, last + 1)
end

-- Whether a copy has all that it says it has. With XADD somebody can make the first lines of a stream go; without him only
-- what is before a snapshot goes (trim), or was never there: `begins`.
local function is_whole(base, state)
  local _, answer = pcall(function()
    if not can_be_written(state) then return false end
    if state.epoch == nil then return true end
    if not line_at(state, state.number, state.sequence) then return false end
    local from, sequence = snapshot_place(base, snapshot_key(base))
    if not (from and line_at(state, from, sequence)) then from, sequence = position_of(state.begins or '') end
    for _, text in ipairs(redis.call('ZRANGEBYSCORE', state.at .. ':epochs', '-inf', '+inf')) do
      local number = integer(text)
      if number and number <= state.number and number >= (from or 0) then
        if not is_epoch_whole(state, number, number == from and sequence or 1) then return false end
      end
    end
    return true
  end)
  return answer == true
end

-- The number of a copy in which nothing is.
local function unused(base, state)
  local last = generation_of(redis.call('HGET', base .. ':meta', 'generations')) or 0
  local next = math.max(integer(state.generation), last) % LAST_GENERATION + 1
  local function is_there(key) return redis.call('EXISTS', base .. ':' .. whole(next) .. key) == 1 end
  while is_there(':epochs') or is_there(':staged') or is_there(':heads') or is_there(':roster') do next = next + 1 end
  redis.call('HSET', base .. ':meta', 'generations', whole(next))
  return whole(next)
end

-- ARGV: the newest epoch's id or '', run, epoch seconds, the new epoch's id, text; and of the copy that it continues
-- generation ('' for the one there is), head and chain, or three ''. Compare-and-set on all of them.
local function open_epoch(keys, args)
  local base, closed_id, run, epoch_s, epoch_id, text = keys[1], args[1], args[2], integer(args[3]), args[4], args[5]
  if #keys ~= 1 or #args ~= 8 or not epoch_s or epoch_id == '' or text == '' or #text > ENTRY_BYTES_MAX then
    return fail('MALFORMED')
  end
  if not base:match('^{writ:[^{}]+}$') then return fail('MALFORMED') end
  if not openings[base] and bases == BASES_MAX then
    return fail('CROWDED: fleets have opened epochs in this Redis under ' .. bases .. ' names since it was started; restart it')
  end
  local newest = read(base)
  if closed_id ~= (newest.epoch or '') or run ~= newest.next then return { 'lost' } end
  local state = newest
  if args[6] ~= '' and args[6] ~= newest.generation then
    if newest.is_open then return { 'lost' } end
    state = read_staged(base, args[6], newest.run)
  end
  if args[7] ~= '' and (head_of(state) ~= args[7] or state.chain ~= args[8]) then return { 'lost' } end
  -- On what somebody has damaged no epoch is opened: closed, it is put back beside it (restore).
  if not newest.is_open and args[7] ~= '' and not is_whole(base, state) then return { 'lost' } end
  if not can_be_written(state) then
    if newest.is_open then close(base, head_of(state)) end
    if state.epoch then return { 'lost' } end
    state = read_staged(base, unused(base, newest), newest.run)
  end
  -- Behind the epoch that it continues, whose number is what whoever opens has on disk. Any other could have been written by
  -- somebody who wants numbers to run out.
  local number = math.max(epoch_s, state.number + 1)
  -- What stands there already is somebody else's.
  while redis.call('EXISTS', state.at .. ':feed:' .. whole(number)) == 1 do number = number + 1 end
  local chain = redis.sha1hex(CHAIN_START .. text)
  if state.epoch then redis.call('HSET', state.at .. ':heads', whole(state.number), whole(state.sequence)) end
  state.number = number
  write_line(state, place(number, 1), chain, text)
  redis.call('ZADD', state.at .. ':epochs', number, whole(number))
  redis.call('HSET', base .. ':meta', 'generation', state.generation, 'epoch', epoch_id, 'number', whole(number),
    'run', run, 'sequence', '1', 'chain', chain)
  state.epoch, state.sequence, state.chain = epoch_id, 1, chain
  if not openings[base] then bases = bases + 1 end
  known[base], openings[base], rows[base] = mark_of(state), (openings[base] or 0) + 1, {}
  windows[base] = { first = 1, floor = 1, ids = {}, sequences = {} }
  redis.call('PUBLISH', base .. ':news', place(number, 1))
  return { 'opened', place(number, 1), chain }
end

local LINE_ARGS = 6

-- True when the line is in the copy already, or continues it, and then ends it.
local function put_back(base, state, args, i)
  local at, chain, text, epoch_id = args[i], args[i + 1], args[i + 2], args[i + 5]
  local number, sequence = position_of(at)
  if #text > ENTRY_BYTES_MAX then return false end
  if number and (number < state.number or (number == state.number and sequence <= state.sequence)) then
    return line_at(state, number, sequence) == chain
  end
  local begins = epoch_id ~= ''
  -- What comes before it is in a snapshot: only who reads that can check it.
  local is_base = begins and state.epoch == nil and sequence and sequence > 1
  local follows
  if is_base then follows, state.begins = true, at
  elseif begins then follows = number and number > state.number and sequence == 1
  else follows = number and state.epoch and number == state.number and sequence == state.sequence + 1 end
  if not follows then return false end
  if not is_base and redis.sha1hex((begins and CHAIN_START or state.chain) .. text) ~= chain then return false end
  if begins and state.epoch then
    redis.call('HSET', state.at .. ':heads', whole(state.number), whole(state.sequence))
  end
  state.number, state.epoch = number, begins and epoch_id or state.epoch
  -- Somebody may have moved the head alone: then the line is there.
  if not write_line(state, at, chain, text) and line_at(state, number, sequence) ~= chain then return false end
  if begins then redis.call('ZADD', state.at .. ':epochs', number, whole(number)) end
  state.sequence, state.chain = sequence, chain
  note_replica(base, state, at, args[i + 3], args[i + 4])
  return true
end

-- ARGV: run, the closed epoch's id or '', a generation ('' for the one there is, 'new' for one beside it), a position, limit,
-- and of each line position, chain, text, event, incarnation, and the epoch's id where it begins one, or a copy. Puts back
-- what a closed store has lost, and answers with what it has after that position.
local function put_all_back(keys, args)
  local base, run, closed_id, generation = keys[1], args[1], args[2], args[3]
  local epoch, sequence = position_of(args[4] or '')
  local limit = integer(args[5])
  if #keys ~= 1 or not epoch or not limit or (#args - 5) % LINE_ARGS ~= 0 then return fail('MALFORMED') end
  local newest = read(base)
  if newest.is_open or run ~= newest.run or closed_id ~= (newest.epoch or '') then return { 'lost' } end
  local state = newest
  local last = generation_of(redis.call('HGET', base .. ':meta', 'generations')) or 0
  if generation == 'staged' and last > 0 and last ~= integer(newest.generation) then
    state = read_staged(base, whole(last), newest.run)
  elseif generation == 'new' or generation == 'staged' then
    state = read_staged(base, unused(base, newest), newest.run)
  elseif generation ~= '' and generation ~= newest.generation then
    if not integer(generation) then return fail('MALFORMED') end
    state = read_staged(base, generation, newest.run)
  end
  -- While lines come it is on its way to be whole.
  local continues = #args > 5 or is_whole(base, state)
  for i = 6, #args, LINE_ARGS do
    if continues then continues = put_back(base, state, args, i) end
  end
  if #args > 5 then
    local head = { 'epoch', state.epoch or '', 'number', whole(state.number), 'sequence', whole(state.sequence), 'chain', state.chain }
    local key = state == newest and base .. ':meta' or state.at .. ':staged'
    redis.call('HSET', key, unpack(head))
    if state == newest then
      redis.call('HSET', base .. ':meta', 'generation', state.generation, 'run', '-')
      -- Whatever somebody binds it to: it is not open before an epoch is opened on it.
      known[base] = nil
    elseif state.begins then
      redis.call('HSET', key, 'begins', state.begins)
    end
  end
  if not continues then return { 'other' } end
  local lines = newer(state, epoch, sequence, limit)
  return { 'restored', state.generation, head_of(state), state.chain, state.epoch or '', lines }
end

-- What cannot be read or written, because somebody has put another type there, is no beginning of anything either.
local function restore(keys, args)
  local is_done, answer = pcall(put_all_back, keys, args)
  if is_done then return answer end
  if tostring(type(answer) == 'table' and answer.err or answer):find('WRONGTYPE', 1, true) then return { 'other' } end
  error(answer)
end

-- ARGV: a position or ''. One reading of everything a coordinator judges by.
local function roster(keys, args)
  local base = keys[1]
  local state = read(base)
  local chain, text
  local epoch, sequence = position_of(args[1] or '')
  local is_held = epoch and (epoch < state.number or (epoch == state.number and sequence <= state.sequence))
  if is_held then chain, text = line_at(state, epoch, sequence) end
  local open, closed = state.is_open and state.epoch or '', not state.is_open and state.epoch or ''
  return { open, closed, state.run, head_of(state), rows_of(base), chain or '', text or '', state.next }
end

-- ARGV: incarnation, closed epoch's id, run, text. Kept when it names this run; all that were kept about that epoch, the
-- latest last.
local function report(keys, args)
  local base, incarnation, closed_id, run, text = keys[1], args[1], args[2], args[3], args[4]
  if #keys ~= 1 or #args ~= 4 then return fail('MALFORMED') end
  local state = read(base)
  -- By what is open or was last: a new epoch has none yet.
  local kept = base .. ':reports:' .. (state.is_open and whole(state.number) or 'closed') .. ':' .. state.run
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

local SNAPSHOT_PAGE_BYTES = 4 * 1024 * 1024

-- What a slot holds: digest and number of chunks.
local function slot_at(key, slot)
  local digest, count = (redis.call('HGET', key, slot) or ''):match('^(%S+) (%d+)$')
  return digest, integer(count) or 0
end

local function empty(key, slot)
  local _, count = slot_at(key, slot)
  for i = 1, count do
    -- As far as there are any.
    if redis.call('HSET', key, slot .. ':' .. i, '') == 1 then break end
  end
  redis.call('HSET', key, slot, '')
end

-- The slot of the newest snapshot, and the other one.
local function slots_of(key)
  if redis.call('HGET', key, 'slot') == 'a' then return 'a', 'b' end
  return 'b', 'a'
end

-- ARGV: digest, index of the first of them, chunks. In order; whoever begins another one takes the place of who was at it.
local function stage_snapshot(keys, args)
  local digest, first = args[1], integer(args[2])
  if #keys ~= 1 or #args < 3 or not first or first < 1 then return fail('MALFORMED') end
  local base, key = keys[1], snapshot_key(keys[1])
  if not is_hash(key) then
    local number = 1
    while not is_hash(base .. ':snapshot:' .. whole(number)) do number = number + 1 end
    redis.call('HSET', base .. ':meta', 'snapshot', whole(number))
    key = snapshot_key(base)
  end
  local _, slot = slots_of(key)
  local staged, count = slot_at(key, slot)
  if staged ~= digest then count = 0 end
  if first > count + 1 then return 0 end
  if staged ~= digest then empty(key, slot) end
  for i = 3, #args do redis.call('HSET', key, slot .. ':' .. whole(first + i - 3), args[i]) end
  redis.call('HSET', key, slot, digest .. ' ' .. whole(math.max(count, first + #args - 3)))
  return 1
end

-- ARGV: epoch id, position, digest, entry, chunks. It is kept if it is staged in full and newer than the one that is there.
local function write_snapshot(keys, args)
  local epoch, sequence = position_of(args[2] or '')
  local count = integer(args[5])
  if #keys ~= 1 or #args ~= 5 or not epoch or not count then return fail('MALFORMED') end
  local key = snapshot_key(keys[1])
  if not is_hash(key) then return 0 end
  local at, within = snapshot_place(keys[1], key)
  if at and (at > epoch or (at == epoch and within >= sequence)) then return 0 end
  local before, slot = slots_of(key)
  local digest, staged = slot_at(key, slot)
  if digest ~= args[3] or staged ~= count then return 0 end
  redis.call('HSET', key, 'slot', slot, 'epoch', args[1], 'position', args[2], 'digest', digest, 'entry', args[4],
    'chunks', whole(count))
  if openings[keys[1]] then snapshots[keys[1]] = { digest = digest, epoch = epoch, sequence = sequence } end
  empty(key, before)
  return 1
end

-- ARGV: digest and index, or two ''. The newest snapshot's head: epoch id, position, digest, entry, chunks; nothing when
-- there is none. Or a page of the chunks of the one with that digest.
local function read_snapshot(keys, args)
  local key = snapshot_key(keys[1])
  if not is_hash(key) then return {} end
  if args[1] == '' then
    local head = redis.call('HMGET', key, 'epoch', 'position', 'digest', 'entry', 'chunks')
    return integer(head[5]) and head or {}
  end
  local slot = slots_of(key)
  local digest, count = slot_at(key, slot)
  local reply, bytes = {}, 0
  for i = integer(args[2]) or 1, digest == args[1] and count or 0 do
    local chunk = redis.call('HGET', key, slot .. ':' .. i)
    if not chunk then return reply end
    reply[#reply + 1], bytes = chunk, bytes + #chunk
    if bytes > SNAPSHOT_PAGE_BYTES then return reply end
  end
  return reply
end

-- ARGV: position and digest of the snapshot that is kept, how many lines before its mark stay.
local function trim(keys, args)
  local base, keep = keys[1], integer(args[3])
  local epoch, sequence = position_of(args[1] or '')
  if #keys ~= 1 or #args ~= 3 or not epoch or not keep then return fail('MALFORMED') end
  local state = read(base)
  local snapshot = snapshot_key(base)
  if not is_hash(snapshot) then return 0 end
  local head = redis.call('HMGET', snapshot, 'position', 'digest')
  if not state.is_open or state.number ~= epoch or head[1] ~= args[1] or head[2] ~= args[2] or sequence <= keep then
    return 0
  end
  local window = windows[base]
  if sequence - keep <= window.floor then return 0 end
  window.floor = sequence - keep
  -- Earlier epochs go as a whole. What stands there instead is behind their heads, so nobody reads it.
  for _, text in ipairs(redis.call('ZRANGEBYSCORE', state.at .. ':epochs', '-inf', '(' .. whole(epoch))) do
    local number = integer(text)
    if number and redis.call('HGET', state.at .. ':heads', text) then
      local last = place(number, LAST_SEQUENCE)
      redis.pcall('XADD', state.at .. ':feed:' .. text, 'MINID', '=', last, last, 'c', '', 'e', '')
    end
  end
  return 1
end

-- Every call has a tag before its ARGV, and its answer has it too: none is taken for that to another call.
local function tagged(callback)
  return function(keys, args)
    local tag = table.remove(args, 1)
    local answer = callback(keys, args)
    return type(answer) == 'table' and answer.err and answer or { tag or '', answer }
  end
end

redis.register_function('writ1_renew', tagged(renew))
redis.register_function('writ1_append', tagged(append))
redis.register_function('writ1_forget', tagged(forget))
redis.register_function('writ1_open_epoch', tagged(open_epoch))
redis.register_function('writ1_restore', tagged(restore))
redis.register_function('writ1_report', tagged(report))
redis.register_function('writ1_stage_snapshot', tagged(stage_snapshot))
redis.register_function('writ1_write_snapshot', tagged(write_snapshot))
redis.register_function('writ1_trim', tagged(trim))
-- Without the flag no-writes: a master that may not write (its replicas are gone, so another may be in its place) reads nobody
-- anything out of it, and so no `enforced` (DESIGN 3.3, last reading).
redis.register_function('writ1_roster', tagged(roster))
redis.register_function{ function_name = 'writ1_read_snapshot', callback = tagged(read_snapshot), flags = { 'no-writes' } }
