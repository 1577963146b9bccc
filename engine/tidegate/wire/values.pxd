"""The C fields of what `dialect.py` has as Structs: see `tidegate/values.pxd`."""

cdef extern from *:
    """
    typedef struct {
        PyObject_HEAD
        PyObject *max_tokens, *model, *n, *stream, *user;
    } TidegateGoverned;
    typedef struct {
        PyObject_HEAD
        PyObject *ask_usage, *body, *dialect, *endpoint, *finish, *lower_output, *method, *path, *query, *stream_error;
    } TidegateRoute;
    """
    ctypedef class tidegate.wire.dialect.Governed [object TidegateGoverned, check_size error]:
        cdef object model, stream, max_tokens, n, user

    ctypedef class tidegate.wire.dialect.Route [object TidegateRoute, check_size error]:
        cdef object method, path, endpoint, dialect, body, query, stream_error, ask_usage, lower_output, finish
