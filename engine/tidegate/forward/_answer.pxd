cdef class AnswerHead:
    cdef readonly int status
    cdef readonly Py_ssize_t length
    cdef readonly bint chunked
    cdef readonly bint keep_alive
    cdef readonly bint events
    cdef readonly bint coded
    cdef readonly bytes kept
    cdef readonly bytes limits
    cdef readonly Py_ssize_t size
    cdef readonly bytes whole       # the body, where it ends with the read that the head stands in

cdef class Body:
    cdef int mode, state, digits
    cdef Py_ssize_t left, line, trailer
    cdef readonly bint done
    cdef readonly bint broken
    cpdef bytes take(self, bytearray read, Py_ssize_t offset, Py_ssize_t size)
    cdef Py_ssize_t chunks(self, char** start, Py_ssize_t size) noexcept

cpdef AnswerHead scan(bytes data)
cpdef AnswerHead found(bytearray buffer, Py_ssize_t size)
cpdef bytes copied(bytearray buffer, Py_ssize_t size)
cpdef bytes frame(bytes payload)
