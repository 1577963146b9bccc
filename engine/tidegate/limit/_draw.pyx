# cython: boundscheck=False, wraparound=False, cdivision=True
"""Buckets, and holds on several of them: all or nothing, grown by totals, settled once.

Nothing here waits or fails halfway. An operation on one bucket is a few instructions of _words.h between which no other
thread of this process runs; every one first makes sure that its entry is still the one it was.
"""

cimport cython
from cpython.long cimport PyLong_Check
from cpython.mem cimport PyMem_Free, PyMem_Malloc, PyMem_Realloc
from cpython.object cimport PyObject
from cpython.ref cimport Py_DECREF, Py_INCREF
from libc.string cimport memcpy

from tidegate.draws cimport Draw, Draws
from tidegate.limit._table cimport (
    BUDGET, CONCURRENT, EXPIRED, NO_PLACE, OVERDRAWN, RATE,
    alive, amount_of, cost_of, drawn_in, find, hold, let_go, load_signed, refund, settle_held, settled_in, split, sum,
    take, tally, word_of,
)

from tidegate.draws import MEASURES

cdef int64_t FOREVER = <int64_t>1 << 62
cdef int64_t SECOND = 1_000_000_000
cdef int64_t MOST_AMOUNT = <int64_t>1 << 53  # units.MOST_AMOUNT
cdef uint64_t NOWHERE = ~<uint64_t>0  # the word of no entry
cdef dict DRAWS = {"requests": ONCE, "concurrent": ONCE, "tokens": TOKENS, "usd": COST}
cdef enum:
    OPEN
    LOST  # it expired; what it holds of budgets stays held, until it is settled after all
    DONE


@cython.final
cdef class Bucket:
    """A limit, ready to be drawn from. It takes a place in the table when it is drawn from for the first time."""

    def __init__(self, Table table, limit, str kind, int64_t max, int64_t burst, rate, bytes owner, bint warns, roll, full):
        self.table, self.limit, self.kind = table, limit, kind
        self.max, self.burst, self.warns = max, burst, warns
        self.roll, self.full = roll, full
        self.sort = {"rate": RATE, "budget": BUDGET, "concurrent": CONCURRENT}[kind]
        self.measure = MEASURES.index(limit.measure)
        self.draws = DRAWS[limit.measure]
        self.owner = split(owner)
        self.ahead, self.units, self.depth = rate
        self.one = cost_of(1, self.ahead, self.units)

    def aim(self, bytes key, int64_t ends):
        """Draws from this key from now on: the one of a window that ends then."""
        self.aimed = split(key)
        self.key = key
        self.ends = ends
        self.until = until(self, ends)
        self.slot, self.word = 0, NOWHERE

    cdef int64_t amount(self, int64_t tokens, int64_t cost) noexcept:
        """What a call of so many tokens, at that cost, draws of it."""
        return 1 if self.draws == ONCE else tokens if self.draws == TOKENS else cost

    cdef int64_t cost(self, int64_t amount) noexcept:
        return self.one if amount == 1 else cost_of(amount, self.ahead, self.units)

    cdef int64_t find(self) noexcept:
        """The place of the key, or -1; claims none."""
        cdef int64_t slot
        if not alive(&self.table.view, self.slot, self.word):
            slot = find(&self.table.view, self.aimed.high, self.aimed.low, &self.word)
            if slot < 0:
                self.slot, self.word = 0, NOWHERE
                return -1
            self.slot = slot
        return self.slot

    cdef int draw(self, Part* part, int64_t amount, int64_t now, bint force) except -1:
        """1 when `amount` more was drawn into `part`, 0 when it was refused; without a place for the key `full` raises."""
        cdef int64_t cost, slot
        if not alive(&self.table.view, part.slot, part.word):
            self.follow()  # nothing is held in a place that is gone, so this may be another window
            slot = self.table.place(self.aimed, self.owner, self.sort, self.ends, &part.word)
            if slot < 0:
                part.word = NOWHERE
                self.full(self, slot == NO_PLACE)
            part.slot = slot
        if self.sort == RATE:
            cost = self.cost(amount)
            if (amount > self.burst or take(word_of(&self.table.view, part.slot), cost, self.depth, now, False)) and (
                not force or take(word_of(&self.table.view, part.slot), cost, self.depth, now, True)
            ):
                return 0
            part.cost = sum(part.cost, cost)
        elif not hold(&self.table.view, part.slot, amount, self.max, force):
            return 0
        part.amount += amount
        return 1

    def missing(self, int64_t amount):
        """Why `amount` cannot be drawn now: (remaining, retry, never); None when it can. It draws nothing.

        `retry` is in nanoseconds; None where it depends on others alone, because nothing but a release frees anything.
        """
        self.follow()
        cdef int64_t remaining, wait, now = self.table.now()
        if self.sort == RATE:
            wait = self.owed(now) + self.cost(amount) - self.depth
            never = amount > self.burst or amount > MOST_AMOUNT
            return (self.left(now), None if never else wait, never) if wait > 0 or never else None
        remaining = self.left(now)
        never = amount > self.max or amount > MOST_AMOUNT
        if not never and self.drawn() + amount <= self.max:
            return None
        return remaining, None if self.ends == FOREVER else self.ends - self.table.wall(), never

    def state(self):
        """(remaining, reset): what could be drawn now, and the nanoseconds until all of it is there again, or None."""
        self.follow()
        cdef int64_t now = self.table.now()
        if self.sort == RATE:
            return self.left(now), self.owed(now)
        return self.left(now), None if self.ends == FOREVER else self.ends - self.table.wall()

    cpdef (int64_t, int64_t, int64_t) standing(self):
        """(used, remaining, reset): `used` and `state` in one, where 0 is a reset that is no question of time."""
        cdef int64_t used, left, now
        if self.sort == RATE:
            now = self.table.now()
            left = self.left(now)
            return self.burst - left, left, self.owed(now)
        self.follow()
        left = self.left(0)
        used = self.drawn()
        return used, left, 0 if self.ends == FOREVER else self.ends - self.table.wall()

    cdef follow(self):
        if self.ends != FOREVER and self.table.wall() >= self.ends:
            self.roll(self)

    cdef int64_t owed(self, int64_t now) noexcept:
        cdef int64_t time = load_signed(word_of(&self.table.view, self.slot)[0]) if self.find() >= 0 else 0
        return time - now if time > now else 0

    cdef int64_t drawn(self) noexcept:
        return drawn_in(&self.table.view, self.slot) if self.find() >= 0 else 0

    cdef int64_t left(self, int64_t now) noexcept:
        cdef int64_t spare
        if self.sort == RATE:
            spare = self.depth - self.owed(now)
            spare = amount_of(spare, self.ahead, self.units) if spare > 0 else 0
            return spare if spare < self.burst else self.burst
        spare = self.max - self.drawn()
        return spare if spare > 0 else 0

    @property
    def used(self):
        """What is drawn of it: by calls that ended, as far as it is still owed, and by calls under way."""
        self.follow()
        return self.burst - self.left(self.table.now()) if self.sort == RATE else self.drawn()

    def settled(self):
        """What was settled in a budget's window."""
        self.follow()
        return settled_in(&self.table.view, self.slot) if self.find() >= 0 else 0

    def held(self):
        """What is held of it at this moment."""
        cdef int64_t settled = self.settled()
        return self.drawn() - settled


@cython.final
@cython.no_gc
@cython.freelist(64)
cdef class Hold:
    """What was drawn for one call, bucket by bucket in the order in which they were asked for."""

    cdef bint prepare(self, Py_ssize_t count) except 0:
        self.parts = &self.few[0]
        if count > 4:
            self.parts = <Part*>PyMem_Malloc(count * sizeof(Part))
        if self.parts == NULL:
            raise MemoryError
        return True

    cdef bint draw(self, Bucket bucket, int64_t amount, int64_t now) except -1:
        """Whether one more bucket was drawn from."""
        cdef Part* part = &self.parts[self.count]
        cdef bint drawn
        if bucket.ends != FOREVER:
            bucket.follow()
        part.bucket = <PyObject*>bucket
        part.slot, part.word = bucket.slot, bucket.word
        part.amount = part.cost = 0
        part.over = False
        Py_INCREF(bucket)
        self.count += 1
        drawn = bucket.draw(part, amount, now, False)
        if not drawn and bucket.warns:
            part.over = True
            drawn = bucket.draw(part, amount, now, True)
        bucket.slot, bucket.word = part.slot, part.word
        self.leaks |= bucket.sort != RATE
        return drawn

    def __dealloc__(self):
        cdef Py_ssize_t i
        for i in range(self.count):
            Py_DECREF(<Bucket>self.parts[i].bucket)
        if self.parts != &self.few[0]:
            PyMem_Free(self.parts)

    @property
    def amounts(self):
        """What is held, in the order of the buckets."""
        return tuple([self.parts[i].amount for i in range(self.count)])

    @property
    def drawn(self):
        """What a record says of each bucket: its key, measure, what is held, and when its window ends, in seconds."""
        cdef Draws said = Draws()
        self.tell(said)
        return tuple([(key, measure, held, end) for key, measure, held, _, end in said])

    cdef int tell(self, Draws said) except -1:
        """Says what is held. Each bucket is named in the window that it was drawn in, also when that is over."""
        cdef Py_ssize_t i
        cdef Bucket bucket
        cdef Part* part
        cdef Entry* entry
        cdef Draw* draw = said.room(self.count)
        for i in range(self.count):
            part = &self.parts[i]
            bucket = <Bucket>part.bucket
            memcpy(draw.bucket, &bucket.aimed, 16)
            draw.measure = bucket.measure
            draw.held, draw.settled, draw.end = part.amount, 0, bucket.until
            if bucket.ends != FOREVER and alive(&self.holds.table.view, part.slot, part.word):
                entry = &self.holds.table.view.entries[part.slot]
                memcpy(draw.bucket, &entry.high, 8)
                memcpy(draw.bucket + 8, &entry.low, 8)
                draw.end = until(bucket, entry.ends)
            draw += 1
        return 0

    cdef bint tell_used(self, Draws said, int64_t tokens, int64_t cost) noexcept:
        """Says in addition what was used, of what it told before; whether that is more than is held, of any bucket."""
        cdef Py_ssize_t i
        cdef int64_t used
        cdef bint more = False
        cdef Bucket bucket
        for i in range(self.count):
            bucket = <Bucket>self.parts[i].bucket
            used = bucket.amount(tokens, cost)
            more |= used > self.parts[i].amount
            said.all[i].held = self.parts[i].amount
            said.all[i].settled = used if bucket.sort != CONCURRENT else 0  # a place is given back
        return more

    cdef bint over(self) noexcept:
        """Whether a limit that only warns was exceeded."""
        cdef Py_ssize_t i
        for i in range(self.count):
            if self.parts[i].over:
                return True
        return False

    @property
    def exceeded(self):
        """The limits that only warn, and were exceeded."""
        return tuple([(<Bucket>self.parts[i].bucket).limit for i in range(self.count) if self.parts[i].over])

    @property
    def open(self):
        """Whether it is neither settled nor released nor expired."""
        return self.stage() == OPEN

    cdef int stage(self) noexcept:
        """How far it is; what was drawn before a fork is done for the child, because the parent will settle it."""
        return self.state if self.life == self.holds.life else DONE

    def grow(self, totals):
        """Draws until so much is held of every bucket; None, or a Refusal, and then everything is as it was."""
        cdef Py_ssize_t i, j
        cdef int64_t total, now
        cdef Part* part
        cdef Bucket bucket
        if len(totals) != self.count:
            raise ValueError("one total for each bucket")
        wanted = [whole(each) for each in totals]
        if self.stage() != OPEN:
            return None
        before = [(self.parts[i].amount, self.parts[i].cost) for i in range(self.count)]
        now = self.holds.table.now()
        try:
            for i in range(self.count):
                part = &self.parts[i]
                bucket = <Bucket>part.bucket
                total = wanted[i] - part.amount
                if total <= 0 or bucket.sort == CONCURRENT:
                    continue
                if not bucket.draw(part, total, now, False):
                    if not bucket.warns:
                        self.shrink(before)
                        more = [(<Bucket>self.parts[j].bucket, max(wanted[j] - before[j][0], 0)) for j in range(self.count)]
                        return self.holds.refuse(more, i)
                    part.over = True
                    bucket.draw(part, total, now, True)
        except BaseException:
            self.shrink(before)
            raise
        return None

    cdef shrink(self, list before):
        """Back to these (amount, cost)."""
        cdef Py_ssize_t i
        cdef int64_t amount, cost, now = self.holds.table.now()
        for i in range(self.count):
            amount, cost = before[i]
            self.undo(&self.parts[i], self.parts[i].amount - amount, self.parts[i].cost - cost, now)

    cdef int undo(self, Part* part, int64_t amount, int64_t cost, int64_t now) noexcept:
        cdef Bucket bucket = <Bucket>part.bucket
        part.amount -= amount
        part.cost -= cost
        if not alive(&self.holds.table.view, part.slot, part.word):
            return 0
        if bucket.sort == RATE:
            refund(word_of(&self.holds.table.view, part.slot), cost, now)
        elif amount:
            let_go(&self.holds.table.view, part.slot, amount)
        return 0

    def settle(self, actual, uint64_t seq=0):
        """What was really used takes the place of what was held; returns how much more it was, `()` if it was not.

        Nothing is clipped: what goes beyond the hold is added in full. Settling again changes nothing. `seq` is the
        record of the worker's journal that says so. It was appended just before, and no other hold was settled since:
        then, wherever the worker is killed, reaping it adds what the record says once.
        """
        cdef Py_ssize_t i
        if len(actual) != self.count:
            raise ValueError("one amount for each bucket")
        amounts = [whole(each) for each in actual]
        excess = [max(amounts[i] - self.parts[i].amount, 0) for i in range(self.count)]
        for i in range(self.count):
            self.parts[i].used = amounts[i]
            if (<Bucket>self.parts[i].bucket).sort == CONCURRENT:
                excess[i] = 0
        return tuple(excess) if self.end(seq) else ()

    cpdef charge(self, int64_t tokens, int64_t cost, uint64_t seq):
        """As `settle`, of a call that used so many tokens at that cost; also of more than could be drawn."""
        cdef Py_ssize_t i
        for i in range(self.count):
            self.parts[i].used = max((<Bucket>self.parts[i].bucket).amount(tokens, cost), 0)
        self.end(seq)

    cdef int end(self, uint64_t seq) except -1:
        """What each part says was used takes the place of what it held; 1 where that is more of any."""
        cdef Py_ssize_t i
        cdef Part* part
        cdef Bucket bucket
        cdef int64_t now
        cdef bint more = False
        if self.stage() == DONE:
            return 0
        now = self.holds.table.now()
        for i in range(self.count):
            part = &self.parts[i]
            bucket = <Bucket>part.bucket
            if bucket.sort == CONCURRENT:
                self.undo(part, part.amount, 0, now)
                continue
            more |= part.used > part.amount
            self.turn_into(bucket, part, part.used, now, seq)
        self.finish(DONE)
        if more:
            tally(&self.holds.table.view, OVERDRAWN)
        return more

    cdef int turn_into(self, Bucket bucket, Part* part, int64_t used, int64_t now, uint64_t seq) noexcept:
        cdef Table table = self.holds.table
        cdef int64_t cost, slot
        if bucket.sort == RATE:
            cost = bucket.cost(used)
            if cost == part.cost:
                return 0
            if cost < part.cost:
                return self.undo(part, 0, part.cost - cost, now)
            slot = part.slot
            if not alive(&table.view, slot, part.word):
                slot = table.place(bucket.aimed, bucket.owner, RATE, FOREVER, &part.word)
            if slot >= 0:
                take(word_of(&table.view, slot), cost - part.cost, bucket.depth, now, True)
        elif alive(&table.view, part.slot, part.word):  # else its window is over, and nothing was held any more
            settle_held(&table.view, part.slot, part.amount, used, seq)
        return 0

    def release(self):
        """Gives everything back: nothing was used. Once settled it changes nothing."""
        cdef Py_ssize_t i
        cdef int64_t now
        if self.stage() == DONE:
            return
        now = self.holds.table.now()
        for i in range(self.count):
            self.undo(&self.parts[i], self.parts[i].amount, self.parts[i].cost, now)
        self.finish(DONE)

    def renew(self):
        """The call lives: its deadline is a whole span away again."""
        self.deadline = self.holds.table.now() + self.holds.span

    cdef finish(self, int state):
        """Takes the hold out of the open ones."""
        self.state = state
        if self.index >= 0:
            self.holds.close(self)


@cython.final
cdef class Holds:
    """The open holds of one process on one table."""

    def __init__(self, Table table, int64_t span, refuse):
        self.table, self.span, self.refuse = table, span, refuse

    def __dealloc__(self):
        self.close_all()
        PyMem_Free(self.open)

    def __len__(self):
        return self.count

    def acquire(self, pairs):
        """Draws every (bucket, amount), or nothing; a Hold, or what `refuse` makes of it."""
        cdef Py_ssize_t i, count = len(pairs)
        cdef int64_t now = self.table.now()
        cdef Hold made = self.begin(count)
        cdef Bucket bucket
        try:
            for i in range(count):
                pair = <tuple?>pairs[i]
                bucket = <Bucket?>pair[0]
                if not made.draw(bucket, whole(pair[1]), now):
                    made.release()
                    return self.refuse(pairs, i)
        except BaseException:
            made.release()
            raise
        return self.kept(made, now)

    cpdef take(self, tuple buckets, int64_t tokens, int64_t cost):
        """As `acquire`, for a call of so many tokens at that cost; `buckets` are Buckets. More than MOST_AMOUNT is refused,
        and counts as so much where a limit only warns: a caller may ask for it.
        """
        cdef Py_ssize_t i, count = len(buckets)
        cdef int64_t amount, now = self.table.now()
        cdef Hold made = self.begin(count)
        cdef Bucket bucket
        try:
            for i in range(count):
                bucket = <Bucket?>buckets[i]
                amount = bucket.amount(tokens, cost)
                if amount > MOST_AMOUNT and bucket.warns:
                    amount = MOST_AMOUNT
                if amount > MOST_AMOUNT or not made.draw(bucket, bounded(amount), now):
                    made.release()
                    return self.refuse([(each, (<Bucket>each).amount(tokens, cost)) for each in buckets], i)
        except BaseException:
            made.release()
            raise
        return self.kept(made, now)

    cdef Hold begin(self, Py_ssize_t count):
        """A hold of nothing yet."""
        cdef Hold made = Hold.__new__(Hold)
        if not self.table.joined:
            raise RuntimeError("only who joined as a worker can draw")
        made.holds = self
        made.life = self.life
        made.index = -1
        self.reserve()
        made.prepare(count)
        return made

    cdef Hold kept(self, Hold made, int64_t now):
        """The same, drawn: from now on it can expire."""
        made.deadline = now + self.span
        if made.leaks:
            made.index = self.count
            self.open[self.count] = <PyObject*>made
            Py_INCREF(made)
            self.count += 1
        return made

    cdef int reserve(self) except -1:
        """Sees to it that one more open hold has a place."""
        cdef Py_ssize_t room
        cdef PyObject** open
        if self.count == self.room:
            room = 2 * self.room + 64
            open = <PyObject**>PyMem_Realloc(self.open, room * sizeof(PyObject*))
            if open is NULL:
                raise MemoryError
            self.open, self.room = open, room
        return 0

    cdef close(self, Hold hold):
        """The last one takes its place."""
        self.count -= 1
        self.open[hold.index] = self.open[self.count]
        (<Hold>self.open[hold.index]).index = hold.index
        hold.index = -1
        Py_DECREF(hold)

    cdef close_all(self):
        while self.count:
            self.close(<Hold>self.open[self.count - 1])

    def expire(self):
        """Gives up every open hold whose deadline is over; returns how many there were.

        Its place among concurrent calls is free. What it holds of budgets counts as spent: it stays held, until the
        call ends after all, or this process does and is reaped.
        """
        cdef int64_t now = self.table.now()
        cdef Hold each
        cdef Py_ssize_t i
        cdef Part* part
        open = [<Hold>self.open[i] for i in range(self.count)]
        overdue = [each for each in open if (<Hold>each).deadline <= now]
        for each in overdue:
            for i in range(each.count):
                part = &each.parts[i]
                if (<Bucket>part.bucket).sort == CONCURRENT:
                    each.undo(part, part.amount, 0, now)
            each.finish(LOST)
            tally(&self.table.view, EXPIRED)
        return len(overdue)

    def forget(self):
        """After a fork: what is open belongs to the parent, which settles it itself."""
        self.life += 1
        self.close_all()


cdef int64_t whole(amount) except -1:
    if not PyLong_Check(amount):
        raise TypeError(f"an amount is a whole number, found {type(amount).__name__}")
    return bounded(amount)


cdef int64_t bounded(int64_t amount) except -1:
    if amount < 0 or amount > MOST_AMOUNT:
        raise ValueError(f"an amount is a whole number from 0 to {MOST_AMOUNT}, found {amount}")
    return amount


cdef int64_t until(Bucket bucket, int64_t ends) noexcept:
    """The end of a budget's window in seconds; 0 for all else."""
    return ends // SECOND if bucket.sort == BUDGET else 0
