"""Loops call these, so that they are called as C functions are."""

from tidegate.rego.evaluation cimport Evaluation


cpdef spend(Evaluation evaluation, units)
cpdef insert_once(dict held, name, value)
cpdef members(collection)
cpdef members_unordered(collection)
cpdef items_unordered(collection)
cpdef size(collection)
cpdef bint member(value, collection)
cpdef lookup_base(document, index)
