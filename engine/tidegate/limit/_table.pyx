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
cdef uint64_t LAYOUT = 2
cdef Py_ssize_t HEADER = 4096

KINDS = {RATE: "rate", BUDGET: "budget", CONCURRENT: "concurrent"}
COUNTERS = {
    "full": FULL, "quota": QUOTA, "expired": EXPIRED, "overdrawn": OVERDRAWN,
    "reaped": REAPED, "reclaimed": RECLAIMED, "killed_claims": KILLED_CLAIMS,
}


def size_of(Py_ssize_t slots, Py_ssize_t workers):
    """The bytes of a table."""
    return HEADER + sizeof(Worker) * (workers + 1) + slots * (sizeof(Entry) + sizeof(Cell) * (workers + 1))


def numbers_of(bytes head, bytes boot):
    """(slots, workers) of the table of this boot that begins with these bytes; None where that is none."""
    if len(head) < <Py_ssize_t>sizeof(Header) or flaw_of(<Header*><char*>head, boot) is not None:
        return None
    cdef Header* header = <Header*><char*>head
    return header.slots, header.workers


cdef flaw_of(Header* header, bytes boot):
    if memcmp(header.magic, MAGIC, 8):
        return "not a table of limits"
    if header.layout != LAYOUT:
        return "of another layout"
    if memcmp(header.boot, <const char*>boot, 16):
        return "of another boot"
    return None


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

    def flaw(self, bytes boot, bytes seed=None):
        """Why this memory cannot be used as it is; None when it can. Without a `seed` any will do."""
        cdef Header* header = self.view.header
        found = flaw_of(header, boot)
        if found is not None:
            return found
        if <Py_ssize_t>header.slots != self.slots or <Py_ssize_t>header.workers != self.workers:
            return "of another size"
        return None if seed is None or seed == self.seed else "of another seed"

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

    def journal(self, Py_ssize_t worker):
        """The epoch of the journal that records what the life of this place settles; 0: there is none."""
        self._check(worker)
        return load(self.view.workers[worker].journal)

    def join(self, Py_ssize_t worker, int64_t pid, int64_t born, uint64_t journal=0):
        """Draws as this worker from now on; returns its epoch, or None where one that joined was not reaped yet."""
        self._check(worker)
        cdef Worker* line = &self.view.workers[worker]
        cdef uint64_t life = load(line.life)
        if life & 1:
            return None
        line.pid, line.born = pid, born  # before anybody can ask whether the one who joined still lives
        store(line.journal, journal)
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

    def left(self, Py_ssize_t worker, uint64_t epoch):
        """What a life that is over left: [(key, kind, held, seq of the last record settled)]; None: it was freed."""
        self._check(worker)
        cdef Worker* line = &self.view.workers[worker]
        cdef int64_t slot
        cdef uint64_t seq
        cdef Entry* entry
        cdef Cell* cell
        if load(line.life) != (epoch << 1 | 1):
            return None
        finish_redo(&self.view, line)
        found = []
        for slot in range(self.slots):
            entry = &self.view.entries[slot]
            if state_of(load(entry.word)) not in (LIVE, RETIRING) or entry.kind not in (BUDGET, CONCURRENT):
                continue
            cell = cell_of(&self.view, slot, worker)
            seq = seq_of(cell.mark, epoch)
            if cell.held or seq:
                found.append((joined(entry.high, entry.low), KINDS[entry.kind], cell.held, seq))
        return found

    def charge(self, Py_ssize_t worker, uint64_t epoch, bytes key, charges):
        """Settles in one bucket what a life that is over used, and frees what it held there, both at once.

        Of the (seq, amount) it adds those whose record is not settled there yet, so that saying it again adds nothing.
        One without a record, of seq 0, stands for what is held, and adds nothing where nothing is.
        """
        self._check(worker)
        cdef uint64_t word, seq
        cdef Key halves = split(key)
        cdef Worker* line = &self.view.workers[worker]
        cdef int64_t slot = find(&self.view, halves.high, halves.low, &word), amount, settled, mark
        if load(line.life) != (epoch << 1 | 1) or slot < 0:  # what has no place is the window of a time that is over
            return
        cdef Cell* cell = cell_of(&self.view, slot, worker)
        settled, mark = cell.settled, cell.mark
        for seq, amount in charges:
            if cell.held if not seq else mark_of(epoch, seq) > cell.mark:
                settled = sum(settled, amount)
                mark = max(mark, mark_of(epoch, seq)) if seq else mark
        if self.view.entries[slot].kind == CONCURRENT:
            settled = cell.settled
        write_all(line, &self.view, slot * (self.view.count + 1) + worker, 0, settled, mark)

    def free(self, Py_ssize_t worker, uint64_t epoch):
        """Gives a life's place to the next, with the entries that it was about to claim; nothing may be held by it."""
        self._check(worker)
        cdef Worker* line = &self.view.workers[worker]
        cdef int64_t slot
        cdef uint64_t word
        cdef Entry* entry
        if load(line.life) != (epoch << 1 | 1):
            return
        for slot in range(self.slots):
            entry = &self.view.entries[slot]
            word = load(entry.word)
            if state_of(word) in (BUSY, CLAIMED, DEAD) and claimant_of(word) == claimant(worker, epoch):
                if not swap_u(&entry.word, word, next_free(word)):  # another killed the claim just now
                    swap_u(&entry.word, in_state(word, DEAD), next_free(word))
        store(line.life, epoch << 1)
        tally(&self.view, REAPED)

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


cdef bytes joined(uint64_t high, uint64_t low):
    return (<char*>&high)[:8] + (<char*>&low)[:8]


cdef int64_t sum_of(View* view, int which):
    cdef int64_t worker, total = 0
    for worker in range(view.count + 1):
        total += view.workers[worker].counters[which]
    return total
