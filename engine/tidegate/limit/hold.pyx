# cython: boundscheck=False, wraparound=False
"""What a call draws from its limits: a hold before it leaves, more of it while a stream goes on, and what was used.

Limits have one of four measures, and a call draws from all of a measure the same: one request, one place, so many
tokens, so many micro-cents. What is held for the tokens of the answer is the most that it was asked for, or a reserve.

A policy asks with the same limits for every call of a tenant, as the same objects. So whose buckets they are is looked
up by where those lie in memory, in a few places that are written over; behind them is all that was met.
"""

cimport cython

from tidegate.limit._draw cimport Bucket, Hold, Holds

from tidegate.limit.limits import strictest

REMEMBERED = 4096  # sets of limits, by tenant; policies say the same over and over
cdef enum:
    RECENT = 256  # of them found at once
GROWING = frozenset(("tokens", "usd"))  # what a stream may take more of as it goes on


@cython.final
cdef class Buckets:
    def __init__(self, tuple asked, str tenant, limits):
        self.asked, self.tenant = asked, tenant  # kept, so that their places in memory stay theirs
        each = strictest(asked)
        self.all = tuple([limits.prepare(limit, tenant) for limit in each])
        self.stops = any(limit.exceed != "warn" and limit.measure in GROWING for limit in each)

    cpdef list amounts(self, tokens, cost):
        drawn = {"tokens": tokens, "usd": cost}
        return [drawn.get((<Bucket>bucket).limit.measure, 1) for bucket in self.all]


@cython.final
cdef class Single:
    """The bucket of one limit."""

    cdef object limit
    cdef str tenant
    cdef Bucket bucket


@cython.final
cdef class Holder:
    def __init__(self, limits):
        self.limits = limits
        self._holds = <Holds?>limits.holds
        self._known, self._single = {}, {}
        self._recent, self._recent_single = [None] * RECENT, [None] * RECENT

    cpdef bucket(self, limit, str tenant):
        cdef Py_ssize_t at = place(<void*>limit, <void*>tenant)
        cdef Single found
        recent = self._recent_single[at]
        if recent is not None:
            found = <Single>recent
            if found.limit is limit and found.tenant is tenant:
                return found.bucket
        key = id(limit), tenant
        recent = self._single.get(key)
        if recent is None:
            if len(self._single) >= REMEMBERED:
                self._single.clear()
            found = Single.__new__(Single)
            found.limit, found.tenant, found.bucket = limit, tenant, self.limits.prepare(limit, tenant)
            recent = self._single[key] = found
        self._recent_single[at] = recent
        return (<Single>recent).bucket

    cpdef Buckets buckets(self, tuple asked, str tenant):
        cdef Py_ssize_t at = place(<void*>asked, <void*>tenant)
        recent = self._recent[at]
        if recent is not None and (<Buckets>recent).asked is asked and (<Buckets>recent).tenant is tenant:
            return <Buckets>recent
        key = id(asked), tenant
        recent = self._known.get(key)
        if recent is None:
            if len(self._known) >= REMEMBERED:
                self._known.clear()
            recent = self._known[key] = Buckets(asked, tenant, self.limits)
        self._recent[at] = recent
        return <Buckets>recent

    cpdef take(self, Buckets buckets, int64_t tokens, int64_t cost):
        cdef Held held
        taken = (<Holds>self._holds).take(buckets.all, tokens, cost)
        if type(taken) is not Hold:
            return taken
        held = Held.__new__(Held)
        held.buckets = buckets
        held._hold = taken
        held._left = True
        held.warned = (<Hold>taken).over()
        (<Hold>taken).tell(held)
        return held


cdef inline Py_ssize_t place(void* what, void* whose) noexcept:
    """Where two objects are looked for first."""
    return (<size_t>what >> 5 ^ <size_t>whose >> 4) % RECENT


@cython.final
@cython.no_gc  # what it leads to never leads back
cdef class Held(Draws):
    def __init__(self, *args, **options):
        raise TypeError("a call holds what a Holder took")

    @property
    def exceeded(self):
        return self._hold.exceeded

    cpdef grow(self, tokens, cost):
        refusal = (<Hold>self._hold).grow(self.buckets.amounts(tokens, cost))
        (<Hold>self._hold).tell(self)
        return refusal

    cpdef use(self, int64_t tokens, int64_t cost):
        self._tokens, self._cost = tokens, cost
        self.overdraft = (<Hold>self._hold).tell_used(self, tokens, cost)

    cpdef use_nothing(self):
        self._left = False

    cpdef recorded(self, uint64_t seq):
        if self._left:
            (<Hold>self._hold).charge(self._tokens, self._cost, seq)
        else:
            (<Hold>self._hold).settle([0] * len(self.buckets.all), seq)

    cpdef release(self):
        (<Hold>self._hold).release()

    cpdef renew(self):
        (<Hold>self._hold).renew()
