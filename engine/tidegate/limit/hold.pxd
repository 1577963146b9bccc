cpdef acquire(decision)
cpdef settle(hold, usage)
