# cython: boundscheck=False, wraparound=False
"""A worker's journal: what is appended survives a kill at once, and a power cut when it is durable.

Compiled, with journal.h, because it stands in the path of every call, and because its writer must never wait for the
interpreter's lock, nor the loop for the disk.
"""

import os
from pathlib import Path

cimport cython
from cpython.bytes cimport PyBytes_AS_STRING, PyBytes_GET_SIZE
from libc.errno cimport EAGAIN, EEXIST, errno
from libc.stdlib cimport calloc
from posix.unistd cimport read

from tidegate.record.ring import boot, path_of
from tidegate.record.segments import HEADER, MOST_EPOCH, MOST_RECORD, MOST_WORKER, ENTRY, SEAL, listing
from tidegate.record.unrecorded import Unrecorded

PAGE = 4096
cdef unsigned long forks = 0


def _forked():
    global forks
    forks += 1


os.register_at_fork(after_in_child=_forked)


@cython.final
cdef class Journal:
    """The one writer of (worker, epoch). All methods are for one thread, the loop's; none but drain and close waits."""

    def __init__(
        self,
        folder,
        int worker,
        unsigned long long epoch,
        *,
        memory=None,
        unsigned long long segment_size=64 << 20,
        unsigned long long buffer=8 << 20,
        Py_ssize_t limit=MOST_RECORD,
        str audit="required",
        double stale=2.0,
    ):
        cdef int error
        cdef bytes place, machine = boot(), ring
        if self.c is not NULL:
            raise ValueError("a journal is opened once")
        folder, path = Path(folder), path_of(Path(folder if memory is None else memory), worker, epoch)
        place, ring = os.fsencode(folder), os.fsencode(path)
        cdef const char* where = place
        cdef const unsigned char* now = machine
        if not 0 <= worker <= MOST_WORKER or epoch > MOST_EPOCH:
            raise ValueError(f"worker {worker}, epoch {epoch}: the names of the files hold 4 and 12 digits")
        if not 0 < limit <= MOST_RECORD:
            raise ValueError(f"a record has 1 to {MOST_RECORD} bytes")
        if segment_size % PAGE or segment_size < HEADER.size + ENTRY.size + limit + SEAL.size:
            raise ValueError(f"a segment's size is a multiple of {PAGE} and holds a record of {limit} bytes")
        if buffer % PAGE or buffer // 4 < ENTRY.size + limit:
            raise ValueError(f"the buffer is a multiple of {PAGE} and holds four records of {limit} bytes")
        if audit not in ("required", "best_effort"):
            raise ValueError(f"`audit` is `required` or `best_effort`, not `{audit}`")
        if len(ring) >= <Py_ssize_t>sizeof(self.c.ring_path):
            raise ValueError(f"`{path}` is too long a name")
        if listing(folder, worker, epoch):
            raise FileExistsError(f"epoch {epoch} of worker {worker} has been written already in `{folder}`")
        self.required = audit == "required"
        self.stale = <int64_t>(stale * 1e9)
        self.limit = limit
        self.forks = forks
        self.reserve = buffer // 4
        self.c = <CJournal*>calloc(1, sizeof(CJournal))
        if self.c is NULL:
            raise MemoryError
        self.c.worker, self.c.epoch = worker, epoch
        self.c.segment_size, self.c.size = segment_size, buffer
        for index in range(len(ring)):
            self.c.ring_path[index] = ring[index]
        with nogil:
            error = c_start(self.c, where, now)
        if error:
            in_the_ring = self.c.ring is NULL and (self.c.ring_file >= 0 or error == EEXIST)
            let_go(self.c)
            self.c = NULL
            if not (in_the_ring and error == EEXIST):
                path.unlink(missing_ok=True)
            what = f"the journal cannot be opened: {os.strerror(error)}"
            raise OSError(error, what, str(path.parent if in_the_ring else folder))

    cdef CJournal* opened(self) except NULL:
        if self.c is NULL:
            raise ValueError("the journal is closed")
        if self.forks != forks:
            raise ValueError("the journal is the parent's: a child has no writer")
        return self.c

    cpdef unsigned long long append(self, bytes record, bint new=False) except? 0:
        return self.take(PyBytes_AS_STRING(record), PyBytes_GET_SIZE(record), new)

    cdef unsigned long long take(self, const void* record, Py_ssize_t length, bint new) except? 0:
        cdef CJournal* c = self.opened()
        cdef unsigned long long seq = 0
        if not 0 < length <= self.limit:
            raise ValueError(f"a record of {length} bytes: 1 to {self.limit} are taken")
        if not (new and self.required) or (not load_trouble(c) and not is_short(c) and not is_stale(c, self.stale)):
            seq = c_append(c, record, <uint32_t>length, self.reserve if new and self.required else 0)
        if seq == 0:
            if self.required:
                raise Unrecorded(self.trouble or "more is to be recorded than the disk takes")
            self.dropped += 1
        return seq

    cdef unsigned long long following(self) except 0:
        """The seq of the next record."""
        return self.opened().last + 1

    cpdef bint crowded(self) except? -1:
        cdef CJournal* c = self.opened()
        return self.required and is_crowded(c)

    cpdef bint idle(self) except? -1:
        return is_idle(self.opened())

    cpdef bint want(self, unsigned long long seq) except? -1:
        cdef CJournal* c = self.opened()
        if seq > c.last:
            raise ValueError(f"record {seq} has not been appended")
        if seq > self.wanted:
            self.wanted = seq
        return seq <= load_durable(c)

    cpdef bint turn(self) except? -1:
        cdef CJournal* c = self.opened()
        if self.wanted > c.wanted:
            store_wanted(c, self.wanted)
        c_wake(c)
        return not load_trouble(c) and not is_stale(c, self.stale)

    cpdef unsigned long long acknowledge(self) except? 0:
        cdef unsigned long long count
        cdef CJournal* c = self.opened()
        if read(c.event, &count, sizeof(count)) < 0 and errno != EAGAIN:
            raise OSError(errno, os.strerror(errno))
        look(c, 0)
        return load_durable(c)

    @property
    def durable(self):
        cdef CJournal* c = self.opened()
        look(c, 0)
        return load_durable(c)

    @property
    def appended(self):
        return self.opened().last

    @property
    def failures(self):
        cdef CJournal* c = self.opened()
        look(c, 0)
        return load_failures(c)

    @property
    def trouble(self):
        cdef CJournal* c = self.opened()
        cdef int trouble = load_trouble(c)
        if trouble:
            return f"the last write to the journal failed: {os.strerror(trouble)}"
        if is_stale(c, self.stale):
            return f"the disk has not taken a write for {self.stale / 1e9:g} s"
        if is_short(c):
            return f"the disk has no room for the next segment: {os.strerror(c.low)}"
        return None

    def keep(self, unsigned long long seq):
        self.opened().ring.keep = seq

    def fileno(self):
        return self.opened().event

    def drain(self, double timeout):
        cdef CJournal* c = self.opened()
        cdef int64_t most = <int64_t>(timeout * 1e9)
        cdef int done
        with nogil:
            done = wait_durable(c, c.last, most)
        return bool(done)

    def close(self, double timeout=5.0):
        cdef CJournal* c = self.c
        cdef int64_t most = <int64_t>(timeout * 1e9)
        cdef int done
        if c is NULL or self.forks != forks:
            return True
        self.c = NULL
        with nogil:
            done = finish(c, most)
            if done >= 0:
                let_go(c)
        return done == 1
