cimport cython

from tidegate.count.tally cimport Tally

cdef _function(Tally tally, function)
cdef str _short(description)
@cython.locals(left=list, nested=list)
cdef _schema(Tally tally, schema)
@cython.locals(kind=str)
cdef _described(Tally tally, str name, schema)
