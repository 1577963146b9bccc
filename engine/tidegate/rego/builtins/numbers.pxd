"""Arithmetic on decimals, which policies about money are made of, in half the time."""

cdef _millionths(x)
cdef _quotient(dividend, divisor)
