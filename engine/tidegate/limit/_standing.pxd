cpdef bytes lines(str form, buckets)
