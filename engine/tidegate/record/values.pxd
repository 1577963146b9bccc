"""The C fields of what `records.py` has as Structs: see `tidegate/values.pxd`."""

cdef extern from *:
    """
    typedef struct {
        PyObject_HEAD
        PyObject *error, *integration, *status;
    } TidegateAttempt;
    typedef struct {
        PyObject_HEAD
        PyObject *name, *remaining, *reset, *used;
    } TidegateSeen;
    """
    ctypedef class tidegate.record.records.Attempt [object TidegateAttempt, check_size error]:
        cdef object integration, status, error

    ctypedef class tidegate.record.records.Seen [object TidegateSeen, check_size error]:
        cdef object name, used, remaining, reset
