cdef class Keys:
    cdef readonly object words, digest
    cdef readonly str failed
    cdef readonly dict keys
    cdef readonly unsigned long long seen
    cdef readonly unsigned long version
    cdef object _folder, _path, _told, _place, _looked
    cdef Py_ssize_t _size, _lines
    cdef bint _again
    cdef str _complaint

    cpdef refresh(self)
