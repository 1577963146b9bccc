# cython: boundscheck=False, wraparound=False
"""What a call draws from its limits, as its records say it: `limit` tells it, `record` writes it down.

Fields of C, because every call says it twice: of four limits that was fifty Python objects.
"""

from libc.string cimport memcpy, memset

cimport cython
from cpython.bytes cimport PyBytes_AS_STRING, PyBytes_FromStringAndSize, PyBytes_GET_SIZE
from cpython.mem cimport PyMem_Free, PyMem_Malloc

MEASURES = ("requests", "tokens", "usd", "concurrent")


@cython.no_gc
cdef class Draws:
    def __cinit__(self):
        self.all = self.few

    def __init__(self, draws=(), overdraft=False):
        cdef Draw* to
        cdef tuple given = tuple(draws)
        to = self.room(len(given))
        memset(to, 0, len(given) * sizeof(Draw))
        self.overdraft = overdraft
        for bucket, measure, held, settled, end in given:
            if PyBytes_GET_SIZE(<bytes?>bucket) != 16:
                raise ValueError(f"a bucket's key has 16 bytes, not {len(bucket)}")
            memcpy(to.bucket, PyBytes_AS_STRING(bucket), 16)
            to.measure = MEASURES.index(measure)
            to.held, to.settled, to.end = held, settled, end
            if to.held < 0 or to.settled < 0 or to.end < 0:
                raise ValueError("what is drawn is not less than nothing")
            to += 1

    cdef Draw* room(self, Py_ssize_t count) except NULL:
        """So many of them, to be filled in."""
        if self.all is not self.few:
            PyMem_Free(self.all)
            self.all = self.few
        self.count = 0
        if count > 4:
            self.all = <Draw*>PyMem_Malloc(count * sizeof(Draw))
            if self.all is NULL:
                self.all = self.few
                raise MemoryError
        self.count = count
        return self.all

    def __dealloc__(self):
        if self.all is not self.few:
            PyMem_Free(self.all)

    def __len__(self):
        return self.count

    def __iter__(self):
        return iter([
            (
                PyBytes_FromStringAndSize(<char*>self.all[at].bucket, 16),
                MEASURES[self.all[at].measure],
                self.all[at].held,
                self.all[at].settled,
                self.all[at].end,
            )
            for at in range(self.count)
        ])

    cpdef recorded(self, uint64_t seq):
        pass
