from tidegate.model cimport Call

cpdef usage(Call call)
