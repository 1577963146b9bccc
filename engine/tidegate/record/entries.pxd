from tidegate.model cimport Call

cpdef intent(Call call, decision)
cpdef outcome(Call call, ended)
cpdef refused(Call call, error)
