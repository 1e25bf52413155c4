-- rules/placement.lua: the MPP with most room, for placement = controller. Reads only.
--
-- Each channel and list of MPPs has a heap, built once in a call: {room, index, pool}, most room first, then in the
-- order of the policy. Grants only lower the room of a pool, so an entry is corrected when it comes to the top; a pool whose room may
-- have grown is entered again (pools.grown).
local pools, limits = need('pool'), need('limits')
local placement = {}

local function get_room(pool)
  if zone.paused[pool.name] or zone.paused[match(pool.name, '^mpp:[^:]+')] then return -FOREVER end
  return limits.get_room(pool) or FOREVER
end

local function precedes(a, b)
  if a.room ~= b.room then return a.room > b.room end
  return a.index < b.index
end

local function sift_up(heap, place)
  local entry = heap[place]
  while place > 1 do
    local parent = floor(place / 2)
    if not precedes(entry, heap[parent]) then break end
    heap[place], place = heap[parent], parent
  end
  heap[place] = entry
end

local function sift_down(heap, place)
  local entry, size = heap[place], #heap
  while 2 * place <= size do
    local child = 2 * place
    if child < size and precedes(heap[child + 1], heap[child]) then child = child + 1 end
    if not precedes(heap[child], entry) then break end
    heap[place], place = heap[child], child
  end
  heap[place] = entry
end

local function push(heap, pool, index)
  heap[#heap + 1] = { room = get_room(pool), index = index, pool = pool }
  sift_up(heap, #heap)
end

local function build(mpps, channel)
  local names, heap = {}, { index = {}, seen = #pools.grown }
  for i, mpp in ipairs(mpps) do names[i] = 'mpp:' .. mpp .. ':' .. channel end
  pools.read_ahead(names)
  for i, name in ipairs(names) do
    heap.index[name] = i
    push(heap, pools.get(name), i)
  end
  return heap
end

local heaps = pools.make_derived() -- names of the MPPs, and the channel -> heap

local function get_heap(key, mpps, channel)
  local heap = heaps[key]
  if not heap then
    heap = build(mpps, channel)
    heaps[key] = heap
  end
  for i = heap.seen + 1, #pools.grown do
    local pool = pools.grown[i]
    if heap.index[pool.name] then push(heap, pool, heap.index[pool.name]) end
  end
  heap.seen = #pools.grown
  return heap
end

-- application: its name, or nil; the MPPs follow from it -> the MPP with most room; nil if there are none
function placement.find_emptiest(application, mpps, channel)
  if #mpps == 0 then return nil end
  local heap = get_heap(channel .. ' ' .. (application or ''), mpps, channel)
  while true do
    local top = heap[1]
    local room = get_room(top.pool)
    if room == top.room then return mpps[top.index] end
    top.room = room
    sift_down(heap, 1)
  end
end

return placement
