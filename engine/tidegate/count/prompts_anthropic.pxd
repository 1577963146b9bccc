cimport cython

from tidegate.count._prompt cimport Form
from tidegate.count.tally cimport Tally

cdef Form _PLAIN

cpdef system(Tally tally, given)
@cython.locals(odd=list)
cpdef messages(Tally tally, given)
cdef _content(Tally tally, content, bint within=*)
cdef _block(Tally tally, json, bint within)
cdef _document(Tally tally, block, source)
