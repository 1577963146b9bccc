cimport cython

@cython.locals(share=double, dense=double)
cpdef Py_ssize_t bucket_of(Py_ssize_t tokens, Py_ssize_t characters, Py_ssize_t size, Py_ssize_t foreign) except -1
