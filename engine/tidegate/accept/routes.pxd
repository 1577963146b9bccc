from tidegate.accept._head cimport Request

cpdef admit(Request request)
