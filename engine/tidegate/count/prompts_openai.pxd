cimport cython

from tidegate.count._prompt cimport Form
from tidegate.count.tally cimport Tally

cdef Form _CHAT, _ITEMS

@cython.locals(odd=list)
cpdef messages(Tally tally, given)
cdef _message(Tally tally, json)
cdef _called(Tally tally, called)
cdef _content(Tally tally, content)
cdef _part(Tally tally, json)
@cython.locals(odd=list)
cpdef items(Tally tally, given)
cdef _item(Tally tally, json)
