cpdef bytes answer(bytes first, bytes fields, bytes more, bytes run, bytes last, bytes body)
