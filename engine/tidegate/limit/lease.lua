-- Grants leases of one bucket. Everything that a fleet agrees on is decided here, in one atomic step, by this server's clock.
--
-- A node tells how much of the bucket it has taken in all (`own`), and only that node writes its number: what was told twice
-- counts once, what was told late (an older `turn`) is refused, and a grant whose answer got lost is taken back with the
-- next word from the node.
--
-- A server that has lost its memory grants nothing for a moment, in which the nodes tell it what they know.
--
-- KEYS  1 the fleet: `era`, when this server's memory began; `quiet`, until when it listens; when each node was heard
--       2 the bucket, unless the node only says that it lives
-- ARGV  1 node  2 the era it knows, or empty
--       3 kind: rate, budget, concurrent   4 turn   5 base: its own number when it was last answered   6 own, now
--       7 need: less than so much is of no use   8 ask: so much would be good   9 least: wait rather than grant less
--      10 part: of what is left at most one in so many, unless more is needed
--      11 max  12 period (us)  13 burst; of a rate   14 known: how far the bucket was used when the node last heard of it
--      15 silence (us) after which a node's places are free   16 how long the bucket is remembered (ms), 0 for ever
--      17 last: `1` when the node will not speak of this lease again   18 which of its leases this is
-- returns {era, now, grant, room after it, how far the bucket is used, us until `need` can be granted}

local LISTENS = 1000000 -- us; nodes try a few times a second to come back

local seconds, microseconds = unpack(redis.call('TIME'))
local now = seconds * 1000000 + microseconds
local node = ARGV[1]

local function text(number)
  return string.format('%.0f', number)
end

local era = redis.call('HGET', KEYS[1], 'era')
if not era then
  era = text(now)
  redis.call('HSET', KEYS[1], 'era', era)
end
local forgotten = ARGV[2] ~= '' and ARGV[2] ~= era -- this server remembers less than the node does
if forgotten then
  redis.call('HSETNX', KEYS[1], 'quiet', text(now + LISTENS))
end
redis.call('HSET', KEYS[1], 'node:' .. node, text(now))
if #KEYS == 1 then
  if ARGV[2] == '' then -- a node joins: those that have not been heard for a day are gone
    local nodes = redis.call('HGETALL', KEYS[1])
    for i = 1, #nodes, 2 do
      if string.sub(nodes[i], 1, 5) == 'node:' and now - tonumber(nodes[i + 1]) > 86400000000 then
        redis.call('HDEL', KEYS[1], nodes[i])
      end
    end
  end
  return {era, now}
end

local kind, turn, base, own = ARGV[3], tonumber(ARGV[4]), tonumber(ARGV[5]), tonumber(ARGV[6])
local need, ask, least, part = tonumber(ARGV[7]), tonumber(ARGV[8]), tonumber(ARGV[9]), tonumber(ARGV[10])
local max, period, burst, known = tonumber(ARGV[11]), tonumber(ARGV[12]), tonumber(ARGV[13]), tonumber(ARGV[14])
local silence, remembered, last = tonumber(ARGV[15]), tonumber(ARGV[16]), ARGV[17] == '1'
local quiet = tonumber(redis.call('HGET', KEYS[1], 'quiet') or '0') - now

local field = 'node:' .. node .. '.' .. ARGV[18]
local told = redis.call('HGET', KEYS[2], field)
local before
if told then
  local last_turn, number = string.match(told, '^(%d+) (%d+)$')
  if turn <= tonumber(last_turn) then
    return redis.error_reply('LATE a younger request of this node was answered')
  end
  before = tonumber(number)
end

local function cost(amount)
  return math.ceil(amount * period / max)
end

local used, room, wait = 0, 0, 0
local sum, rest -- of a budget: what the nodes have told, and what is known beyond it

if kind == 'rate' then
  used = math.max(tonumber(redis.call('HGET', KEYS[2], 'used') or '0'), now) -- the time at which the bucket is full again
  if forgotten and not told then
    used = math.max(used, now + known)
  end
  local more = own - (before or base)
  if more > 0 then
    used = used + cost(more)
  elseif more < 0 then
    used = math.max(now, used - math.floor(-more * period / max))
  end
  local until_full = now + cost(burst)
  room = math.max(0, math.floor((until_full - used) * max / period))
  if room > 0 and used + cost(room) > until_full then
    room = room - 1 -- the division was rounded up
  end
  local wanted = math.min(math.max(need, least), burst)
  wait = math.max(0, used + cost(wanted) - until_full)
elseif kind == 'budget' then
  sum = tonumber(redis.call('HGET', KEYS[2], 'sum') or '0') + own - (before or 0)
  rest = tonumber(redis.call('HGET', KEYS[2], 'rest') or '0')
  if forgotten and not told then
    rest = math.max(rest - own, known + own - base - sum, 0) -- what nobody who is left has told, or not yet
  end
  room = max - sum - rest
else
  local heard = {}
  local nodes = redis.call('HGETALL', KEYS[1])
  for i = 1, #nodes, 2 do
    heard[nodes[i]] = tonumber(nodes[i + 1])
  end
  used = own
  local held = redis.call('HGETALL', KEYS[2])
  for i = 1, #held, 2 do
    if now - (heard[string.match(held[i], '^[^.]+')] or 0) > silence then
      redis.call('HDEL', KEYS[2], held[i])
    elseif held[i] ~= field then
      used = used + tonumber(string.match(held[i + 1], ' (%d+)$'))
    end
  end
  room = max - used
end

local grant = 0
if quiet > 0 then
  wait = math.max(wait, quiet)
elseif ask > 0 and room > 0 and room >= math.max(need, least) then
  grant = math.max(need, math.min(ask, math.floor(room / part)))
  room = room - grant
end
own = own + grant

if kind == 'rate' then
  if grant > 0 then
    used = used + cost(grant)
  end
  redis.call('HSET', KEYS[2], 'used', text(used))
  used = used - now
  remembered = remembered + math.ceil(used / 1000)
elseif kind == 'budget' then
  sum = sum + grant
  if last then -- its number stays, its name need not
    sum, rest = sum - own, rest + own
  end
  redis.call('HSET', KEYS[2], 'sum', text(sum), 'rest', text(rest))
  used = sum + rest
else
  used = used + grant
end

if last then
  redis.call('HDEL', KEYS[2], field)
else
  redis.call('HSET', KEYS[2], field, text(turn) .. ' ' .. text(own))
end
if remembered > 0 then
  redis.call('PEXPIRE', KEYS[2], remembered)
end
return {era, now, grant, room, used, wait}
