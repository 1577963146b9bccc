"""The runs of a worker that have an intent and no outcome, in the order of their last intents.

Segments of the journal are kept for them from the oldest on. A list in which every run knows its neighbours, because each
call is put into it and taken out again: as entries of a dict that is five times as much.
"""

cimport cython
from cpython.ref cimport Py_DECREF, Py_INCREF


@cython.final
cdef class Begun:
    pass


@cython.final
cdef class OpenRuns:
    cpdef begin(self, Begun run, unsigned long long seq):
        self.end(run)
        Py_INCREF(run)
        run.seq = seq
        run.before, run.after = self.newest, NULL
        if self.newest is NULL:
            self.oldest = <PyObject*>run
        else:
            (<Begun>self.newest).after = <PyObject*>run
        self.newest = <PyObject*>run

    cpdef end(self, Begun run):
        if run is None or not run.seq:
            return
        run.seq = 0
        if run.before is NULL:
            self.oldest = run.after
        else:
            (<Begun>run.before).after = run.after
        if run.after is NULL:
            self.newest = run.before
        else:
            (<Begun>run.after).before = run.before
        Py_DECREF(run)

    @property
    def first(self):
        return 0 if self.oldest is NULL else (<Begun>self.oldest).seq

    def __dealloc__(self):
        while self.oldest is not NULL:
            self.end(<Begun>self.oldest)
