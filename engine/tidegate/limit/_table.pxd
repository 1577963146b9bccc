from libc.stdint cimport int32_t, int64_t, uint32_t, uint64_t
cimport cython

cdef extern from "_words.h" nogil:
    enum:
        RATE
        BUDGET
        CONCURRENT
        OWNER
        FREE
        BUSY
        CLAIMED
        LIVE
        RETIRING
        CLEARING
        DEAD
        FULL
        QUOTA
        EXPIRED
        OVERDRAWN
        REAPED
        RECLAIMED
        KILLED_CLAIMS
    ctypedef struct Entry:
        uint64_t word, high, low
        int64_t ends
        uint32_t kind
        int32_t owner
    ctypedef struct Cell:
        int64_t held, settled, word, mark
    ctypedef struct Worker:
        uint64_t life
        int64_t pid, born
        uint64_t turn, redo
        int64_t redo_held, redo_settled, redo_mark
        int64_t[7] counters
        uint64_t journal
    ctypedef struct Header:
        char[8] magic
        uint64_t layout, slots, workers
        char[16] boot
        unsigned char[16] seed
        uint64_t turn
        int64_t wall
    ctypedef struct View:
        Header* header
        Worker* workers
        Entry* entries
        Cell* cells
        uint64_t slots
        int64_t count, me
        uint64_t epoch
        int64_t quota
    uint64_t load "LOAD"(uint64_t)
    int64_t load_signed "LOAD"(int64_t)
    void store "STORE"(uint64_t, uint64_t)
    void store_signed "STORE"(int64_t, int64_t)
    bint swap_u(uint64_t*, uint64_t, uint64_t)
    void tally(View*, int)
    int64_t clock_of(int)
    int64_t sum(int64_t, int64_t)
    int64_t cost_of(int64_t, uint64_t, uint64_t)
    int64_t amount_of(int64_t, uint64_t, uint64_t)
    int64_t take(int64_t*, int64_t, int64_t, int64_t, bint)
    void refund(int64_t*, int64_t, int64_t)
    Cell* cell_of(View*, int64_t, int64_t)
    int64_t* word_of(View*, int64_t)
    int64_t drawn_in(View*, int64_t)
    int64_t settled_in(View*, int64_t)
    bint hold(View*, int64_t, int64_t, int64_t, bint)
    int64_t mark_of(uint64_t, uint64_t)
    uint64_t seq_of(int64_t, uint64_t)
    void write_all(Worker*, View*, int64_t, int64_t, int64_t, int64_t)
    void settle_held(View*, int64_t, int64_t, int64_t, uint64_t)
    void let_go(View*, int64_t, int64_t)
    uint64_t state_of(uint64_t)
    uint64_t in_state(uint64_t, uint64_t)
    uint64_t claimant_of(uint64_t)
    uint64_t claimant(int64_t, uint64_t)
    uint64_t next_free(uint64_t)
    bint alive(View*, int64_t, uint64_t)
    int64_t find(View*, uint64_t, uint64_t, uint64_t*)
    int64_t claim(View*, uint64_t, uint64_t, uint32_t, int64_t, int32_t, uint64_t*)
    bint idle(View*, int64_t, int64_t, int64_t)
    void clear(View*, int64_t, uint64_t)
    void finish_redo(View*, Worker*)

    ctypedef struct Key:
        uint64_t high, low


cdef enum:
    NO_PLACE = -1
    NO_QUOTA = -2


@cython.final
cdef class Table:
    cdef View view
    cdef Py_buffer memory
    cdef bint still
    cdef int64_t still_now, still_wall
    cdef readonly bint joined
    cdef readonly Py_ssize_t slots, workers

    cdef int64_t now(self) noexcept
    cdef int64_t wall(self) noexcept
    cdef int64_t place(self, Key key, Key owner, uint32_t kind, int64_t ends, uint64_t* word) noexcept

cdef Key split(bytes key) except *
cdef bytes joined(uint64_t high, uint64_t low)
