cdef class Framing:
    cdef readonly Py_ssize_t message, name, function
    cdef readonly bint published
