from tidegate.wire._written cimport answer

cpdef bytes whole(int status, bytes fields, bytes run, bytes body, bint close, bytes more=*)
cpdef bytes head(int status, bytes fields, bytes run, bytes framing, bint close)
