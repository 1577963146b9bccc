"""decide: a call and its caller get a decision."""
cimport cython

from tidegate.decide.admission cimport Admission
from tidegate.decide.ruling cimport Ruling
from tidegate.model cimport Call

@cython.locals(rules=Admission)
cpdef decide(Call call, caller, estimate, integration, limits, Ruling policy)
