from collections.abc import Sequence

from tidegate.limit._draw import Bucket

def lines(form: str, buckets: Sequence[Bucket]) -> bytes:
    """The lines for the buckets that a call draws from; `form` is that of the call's dialect."""
