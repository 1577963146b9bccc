"""The language: Rego v1 from source to Python functions. Knows nothing of gateways.

source -> parser -> AST -> checker (resolve, check) -> lowering -> plan (OPA's IR) -> generate -> Python functions
"""
