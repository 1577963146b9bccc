"""How a bucket stands, for compiled modules beside whose own headers the table's does not compile."""

from libc.stdint cimport int64_t

from tidegate.limit._draw cimport Bucket


cpdef (int64_t, int64_t, int64_t) stands(bucket):
    """`bucket.standing()`"""
    return (<Bucket?>bucket).standing()
