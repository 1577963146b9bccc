"""From a plan to Python functions.

scopes     what is known of the plan's functions before a line is written
emitter    one function's lines (order: which loops need no order; inline: builtins as expressions; facts)
questions  the same lines, noting what they ask of fields with many values; asking: such a question
unit       all functions together: constants, memo slots, names
code       a whole plan, through all of them
program    the functions, loaded, with their data
runtime    what generated code calls
"""

from tidegate.rego.generate.program import Program

__all__ = ["Program"]
