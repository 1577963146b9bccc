from tidegate.model cimport Call

cpdef decide(Call call, caller)
