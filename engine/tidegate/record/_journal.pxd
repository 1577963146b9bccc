from libc.stdint cimport int64_t, uint32_t, uint64_t

cdef extern from "journal.h" nogil:
    ctypedef struct RingHeader:
        uint64_t keep
    ctypedef struct CJournal "Journal":
        int event, ring_file
        uint32_t worker
        uint64_t epoch, segment_size, size, head, last, tail, durable, wanted, failures
        int64_t room
        int trouble, low
        char ring_path[512]
        RingHeader* ring
    uint64_t c_append "append"(CJournal*, const void*, uint32_t, uint64_t)
    void c_wake "wake"(CJournal*)
    int is_crowded(CJournal*)
    int is_idle(CJournal*)
    int is_stale(CJournal*, int64_t)
    int is_short(CJournal*)
    int c_start "start"(CJournal*, const char*, const unsigned char*)
    int wait_durable(CJournal*, uint64_t, int64_t)
    int finish(CJournal*, int64_t)
    void let_go(CJournal*)
    void look(CJournal*, int64_t)
    uint64_t load_durable(CJournal*)
    int load_trouble(CJournal*)
    uint64_t load_failures(CJournal*)
    void store_wanted(CJournal*, uint64_t)


cdef class Journal:
    cdef CJournal* c
    cdef int64_t stale
    cdef uint64_t reserve
    cdef uint64_t wanted  # of which the writer hears at the end of the turn
    cdef unsigned long forks
    cdef Py_ssize_t limit
    cdef readonly unsigned long long dropped
    cdef readonly bint required

    cpdef unsigned long long append(self, bytes record, bint new=*) except? 0
    cdef unsigned long long take(self, const void* record, Py_ssize_t length, bint new) except? 0
    cdef unsigned long long following(self) except 0
    cpdef bint crowded(self) except? -1
    cpdef bint idle(self) except? -1
    cpdef bint want(self, unsigned long long seq) except? -1
    cpdef bint turn(self) except? -1
    cpdef unsigned long long acknowledge(self) except? 0
    cdef CJournal* opened(self) except NULL
