cpdef bytes whole(int status, bytes fields, bytes run, bytes body, bint close)
cpdef bytes head(int status, bytes fields, bytes run, bytes framing, bint close)
