from tidegate.model cimport Call

cpdef identify(Call call, settings)
