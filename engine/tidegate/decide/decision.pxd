"""decide: a call and its caller get a decision."""
cimport cython

from tidegate.decide.admission cimport Admission
from tidegate.decide.ruling cimport Ruling
from tidegate.model cimport Call
from tidegate.values cimport Caller, Estimate

@cython.locals(rules=Admission)
cpdef decide(Call call, Caller caller, Estimate estimate, integration, limits, Ruling policy)
