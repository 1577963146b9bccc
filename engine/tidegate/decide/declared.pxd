from tidegate.model cimport Call

cdef class Declared:
    cdef object _limit
    cdef tuple _fields
    cdef dict _made

    cpdef of(self, Call call, caller)
    cdef _of(self, Call call, caller)

cdef _value(str field, Call call, caller)
