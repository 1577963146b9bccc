# cython: boundscheck=False, wraparound=False
"""The shared table: its header, who works on it, and what only its supervisor does. _words.h has the words themselves.

A process sees the table through a `Table`. It draws as the worker that it joined as; one that did not join may read,
restore, reap and reclaim.
"""

cimport cython
from cpython.buffer cimport PyBUF_WRITABLE, PyBuffer_Release, PyObject_GetBuffer
from libc.string cimport memcmp, memcpy
from posix.time cimport CLOCK_MONOTONIC, CLOCK_REALTIME_COARSE

cdef const char* MAGIC = b"tidelims"
cdef uint64_t LAYOUT = 1
cdef Py_ssize_t HEADER = 4096

KINDS = {RATE: "rate", BUDGET: "budget", CONCURRENT: "concurrent"}
COUNTERS = {
    "full": FULL, "quota": QUOTA, "expired": EXPIRED, "overdrawn": OVERDRAWN,
    "reaped": REAPED, "reclaimed": RECLAIMED, "killed_claims": KILLED_CLAIMS,
}


def size_of(Py_ssize_t slots, Py_ssize_t workers):
    """The bytes of a table."""
    return HEADER + sizeof(Worker) * (workers + 1) + slots * (sizeof(Entry) + sizeof(Cell) * (workers + 1))


@cython.final
cdef class Table:
    """One process's view of a table that is mapped at `memory`, zeroed or as another process left it."""

    def __init__(self, memory, Py_ssize_t slots, Py_ssize_t workers, Py_ssize_t quota):
        if slots < 1 or slots & (slots - 1) or workers < 1 or workers > 1000:
            raise ValueError("slots must be a power of two, and workers 1 to 1000")
        PyObject_GetBuffer(memory, &self.memory, PyBUF_WRITABLE)
        if self.memory.len != size_of(slots, workers):
            raise ValueError("the memory is not of the table's size")
        cdef char* base = <char*>self.memory.buf
        self.slots, self.workers = slots, workers
        self.view.header = <Header*>base
        self.view.workers = <Worker*>(base + HEADER)
        self.view.entries = <Entry*>(self.view.workers + workers + 1)
        self.view.cells = <Cell*>(self.view.entries + slots)
        self.view.slots = slots
        self.view.count = self.view.me = workers
        self.view.quota = quota

    def __dealloc__(self):
        PyBuffer_Release(&self.memory)

    def format(self, bytes boot, bytes seed):
        """Makes zeroed memory a table; the magic comes last, so that one half made is none."""
        cdef Header* header = self.view.header
        if len(boot) != 16 or len(seed) != 16:
            raise ValueError("boot and seed are 16 bytes")
        header.layout, header.slots, header.workers = LAYOUT, self.slots, self.workers
        memcpy(header.boot, <const char*>boot, 16)
        memcpy(header.seed, <const char*>seed, 16)
        memcpy(header.magic, MAGIC, 8)

    def flaw(self, bytes boot):
        """Why this memory cannot be used as it is; None when it can."""
        cdef Header* header = self.view.header
        if memcmp(header.magic, MAGIC, 8):
            return "not a table of limits"
        if header.layout != LAYOUT:
            return "of another layout"
        if <Py_ssize_t>header.slots != self.slots or <Py_ssize_t>header.workers != self.workers:
            return "of another size"
        if memcmp(header.boot, <const char*>boot, 16):
            return "of another boot"
        return None

    @property
    def seed(self):
        """The key of the keyed hash; nobody outside can choose keys that share a place."""
        return bytes(self.view.header.seed[:16])

    def set_clock(self, now, wall=None):
        """Stands still at these times from now on, in simulations and tests; None goes with the machine's again."""
        self.still = now is not None
        if now is not None:
            self.still_now, self.still_wall = now, wall

    cdef int64_t now(self) noexcept:
        return self.still_now if self.still else clock_of(CLOCK_MONOTONIC)

    cdef int64_t wall(self) noexcept:
        cdef int64_t wall = self.still_wall if self.still else clock_of(CLOCK_REALTIME_COARSE)
        cdef int64_t seen = load_signed(self.view.header.wall)
        return wall if wall > seen else seen

    def time(self):
        """CLOCK_MONOTONIC in nanoseconds, as draws see it."""
        return self.now()

    def wall_time(self):
        """Unix time in nanoseconds as windows see it: never before a time at which one was chosen."""
        return self.wall()

    def window_chosen(self, int64_t wall):
        """A window was chosen at `wall`: nobody chooses an earlier one any more."""
        cdef int64_t seen = load_signed(self.view.header.wall)
        while seen < wall and not swap_u(<uint64_t*>&self.view.header.wall, seen, wall):
            seen = load_signed(self.view.header.wall)

    # workers

    def life(self, Py_ssize_t worker):
        """(epoch, joined, pid, born) of a worker's place."""
        self._check(worker)
        cdef Worker* line = &self.view.workers[worker]
        cdef uint64_t life = load(line.life)
        return life >> 1, bool(life & 1), line.pid, line.born

    def join(self, Py_ssize_t worker, int64_t pid, int64_t born):
        """Draws as this worker from now on; returns its epoch, or None where one that joined was not reaped yet."""
        self._check(worker)
        cdef Worker* line = &self.view.workers[worker]
        cdef uint64_t life = load(line.life)
        if life & 1:
            return None
        line.pid, line.born = pid, born  # before anybody can ask whether the one who joined still lives
        store(line.turn, load(self.view.header.turn))
        if not swap_u(&line.life, life, life + 3):
            return None
        self.view.me, self.view.epoch = worker, (life + 3) >> 1
        self.joined = True
        return self.view.epoch

    def turn(self):
        """No draw of this worker is under way at this moment; said once a loop turn, or now and then."""
        store(self.view.workers[self.view.me].turn, load(self.view.header.turn))

    def _check(self, Py_ssize_t worker):
        if not 0 <= worker < self.workers:
            raise ValueError(f"there is no worker {worker}")

    def counters(self):
        """What was counted by all workers since the table was made."""
        return {name: sum_of(&self.view, which) for name, which in COUNTERS.items()}

    def used(self):
        """How many entries are taken."""
        cdef int64_t slot, total = 0
        for slot in range(self.slots):
            total += state_of(load(self.view.entries[slot].word)) != FREE
        return total

    # reaping

    def reap(self, Py_ssize_t worker, uint64_t epoch, charges):
        """Settles what a dead worker held, and frees its place; False where that was done before.

        `charges` gets [(key, kind, held)] and returns what is to be charged for each; it returns when that is durable.
        It is asked again about what is left, should the reaper itself be killed meanwhile.
        """
        self._check(worker)
        cdef Worker* line = &self.view.workers[worker]
        cdef int64_t slot, count = self.view.count + 1, index
        cdef uint64_t word
        cdef Entry* entry
        if load(line.life) != (epoch << 1 | 1):
            return False
        finish_redo(&self.view, line)
        held = []
        for slot in range(self.slots):
            entry = &self.view.entries[slot]
            if self.view.cells[slot * count + worker].held:
                held.append((slot, key_of(entry), KINDS[entry.kind], self.view.cells[slot * count + worker].held))
        charged = charges([each[1:] for each in held]) if held else []
        if len(charged) != len(held):
            raise ValueError("one charge for each bucket")
        for (slot, _, kind, _), charge in zip(held, charged):
            index = slot * count + worker
            charge = 0 if kind == "concurrent" else charge
            write_both(line, &self.view, index, 0, sum(self.view.cells[index].settled, charge))
        for slot in range(self.slots):
            entry = &self.view.entries[slot]
            word = load(entry.word)
            if state_of(word) in (BUSY, CLAIMED, DEAD) and claimant_of(word) == claimant(worker, epoch):
                if not swap_u(&entry.word, word, next_free(word)):  # another killed the claim just now
                    swap_u(&entry.word, in_state(word, DEAD), next_free(word))
        store(line.life, epoch << 1)
        tally(&self.view, REAPED)
        return True

    def restore(self, bytes key, int64_t ends, int64_t settled):
        """A total from before: what was settled in a budget's window. Said again it stands once; False: no place."""
        cdef uint64_t word
        cdef Key halves = split(key)
        cdef int64_t slot = claim(&self.view, halves.high, halves.low, BUDGET, ends, -1, &word)
        if slot < 0:
            tally(&self.view, FULL)
            return False
        store_signed(cell_of(&self.view, slot, self.view.count).settled, settled)
        return True

    # reclaiming

    def retire(self):
        """Marks what is idle. It is cleared after every worker has passed a turn, unless somebody needed it by then."""
        cdef int64_t slot, now = self.now(), wall = self.wall()
        cdef uint64_t word
        for slot in range(self.slots):
            word = load(self.view.entries[slot].word)
            if state_of(word) == LIVE and idle(&self.view, slot, now, wall):
                swap_u(&self.view.entries[slot].word, word, in_state(word, RETIRING))
        store(self.view.header.turn, load(self.view.header.turn) + 1)

    def turned(self):
        """Whether every worker has passed a turn since entries were retired."""
        cdef Py_ssize_t worker
        for worker in range(self.workers):
            if load(self.view.workers[worker].life) & 1:
                if load(self.view.workers[worker].turn) < load(self.view.header.turn):
                    return False
        return True

    def clear(self):
        """Frees what was retired and stayed idle, and counts the entries of every owner; returns how many it freed."""
        cdef int64_t slot, cleared = 0, now = self.now(), wall = self.wall()
        cdef uint64_t word, clearing
        cdef Entry* entry
        for slot in range(self.slots):
            entry = &self.view.entries[slot]
            word = load(entry.word)
            clearing = in_state(word, CLEARING)
            if state_of(word) == RETIRING:
                if not idle(&self.view, slot, now, wall):
                    swap_u(&entry.word, word, in_state(word, LIVE))
                    continue
                if not swap_u(&entry.word, word, clearing):
                    continue
            elif word != clearing:  # else a supervisor was killed while it cleared this one
                continue
            clear(&self.view, slot, clearing)
            tally(&self.view, RECLAIMED)
            cleared += 1
        self._count_owners()
        return cleared

    def _count_owners(self):
        """Sets right what crashes between a claim and its count left; a count that moves meanwhile is left for later."""
        cdef int64_t slot
        cdef Entry* entry
        cdef uint64_t state
        counts = {}
        before = {}
        for slot in range(self.slots):
            entry = &self.view.entries[slot]
            if entry.kind == OWNER and state_of(load(entry.word)) == LIVE:
                before[slot] = load_signed(word_of(&self.view, slot)[0])
        for slot in range(self.slots):
            entry = &self.view.entries[slot]
            state = state_of(load(entry.word))
            if state in (LIVE, RETIRING) and entry.kind != OWNER and entry.owner >= 0:
                counts[entry.owner] = counts.get(entry.owner, 0) + 1
        for place, count in before.items():
            slot = place
            swap_u(<uint64_t*>word_of(&self.view, slot), <uint64_t><int64_t>count, <uint64_t>counts.get(place, 0))

    cdef int64_t place(self, Key key, Key owner, uint32_t kind, int64_t ends, uint64_t* word) noexcept:
        """The entry of a key, claimed where there is none; NO_PLACE or NO_QUOTA where it cannot be."""
        cdef int64_t slot = find(&self.view, key.high, key.low, word), counter = -1
        cdef uint64_t counter_word
        if slot >= 0:
            return slot
        if owner.high or owner.low:
            counter = claim(&self.view, owner.high, owner.low, OWNER, 0, -1, &counter_word)
            if counter < 0:
                tally(&self.view, FULL)
                return NO_PLACE
            if load_signed(word_of(&self.view, counter)[0]) >= self.view.quota:
                tally(&self.view, QUOTA)
                return NO_QUOTA
        slot = claim(&self.view, key.high, key.low, kind, ends, <int32_t>counter, word)
        if slot < 0:
            tally(&self.view, FULL)
            return NO_PLACE
        if counter >= 0:
            count_up(word_of(&self.view, counter))
        return slot


cdef extern from * nogil:
    """
    static inline void count_up(int64_t *word) { __atomic_fetch_add(word, 1, __ATOMIC_RELAXED); }
    """
    void count_up(int64_t*)


cdef Key split(bytes key) except *:
    cdef Key halves
    if len(key) != 16:
        raise ValueError("a key is 16 bytes")
    memcpy(&halves, <const char*>key, 16)
    return halves


cdef bytes key_of(Entry* entry):
    return (<char*>&entry.high)[:8] + (<char*>&entry.low)[:8]


cdef int64_t sum_of(View* view, int which):
    cdef int64_t worker, total = 0
    for worker in range(view.count + 1):
        total += view.workers[worker].counters[which]
    return total
