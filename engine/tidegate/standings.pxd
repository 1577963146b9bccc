cimport cython
from libc.stdint cimport int64_t

from tidegate.decide.declared cimport Declared, Drawn
from tidegate.decide.standings cimport Standing, Standings
from tidegate.limit._stands cimport stands
from tidegate.limit.hold cimport Holder
from tidegate.model cimport Call
from tidegate.record.account cimport Account
from tidegate.values cimport Caller

cdef class Told(Standings):
    cdef dict _declared
    cdef Call _call
    cdef Caller _caller
    cdef Holder _holder
    cdef Account _account

    cpdef begin(self, dict declared, Call call, Caller caller, Holder holder, Account account)
    @cython.locals(declared=Declared, drawn=Drawn, standing=Standing, used=int64_t, left=int64_t, reset=int64_t)
    cpdef list look(self)
