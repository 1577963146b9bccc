# for compiled callers; what it gives is a Usage, None, or UNDECIDED
cpdef object quick_usage(bytes answer)
