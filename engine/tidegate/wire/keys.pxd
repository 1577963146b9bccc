cpdef bytes presented(bytes value)
