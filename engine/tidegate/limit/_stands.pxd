from libc.stdint cimport int64_t

cpdef (int64_t, int64_t, int64_t) stands(bucket)
