"""decide: a call and its caller get a decision."""
from tidegate.model cimport Call

cpdef decide(Call call, caller, estimate, integration, limits, policy)
