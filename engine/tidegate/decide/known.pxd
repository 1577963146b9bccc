cimport cython

from tidegate.decide.fields cimport Field
from tidegate.model cimport Call
from tidegate.rego.generate.asking cimport Question
from tidegate.values cimport Caller, Estimate

@cython.final
cdef class Asked:
    cdef readonly Question question
    cdef readonly Field field
    cdef readonly object other
    cdef public object yes, no

@cython.final
cdef class Told:
    cdef readonly tuple said
    cdef readonly object rules
    cdef public object decision

@cython.final
cdef class Known:
    cdef list _few
    cdef dict _fields
    cdef object _tree
    cdef Py_ssize_t _size

    @cython.locals(asked=Asked, field=Field, each=Field, branches=dict)
    cpdef Told find(self, Call call, Caller caller, Estimate estimate, ns, integration, limits)
    @cython.locals(field=Field)
    cpdef Told keep(self, Call call, Caller caller, Estimate estimate, ns, integration, limits, tuple said, list notes)
    cdef _new(self, part)
    @cython.locals(asked=Asked, question=Question)
    cdef _grown(self, tree, list values, list way, Told told)
