cimport cython

from tidegate.model cimport Call

@cython.locals(edits=list, names=tuple, asks=bint)
cpdef tuple rewritten(Call call, str model, most, str provider, bint include_usage)
cpdef bint asks_usage(Call call, bint include_usage)
