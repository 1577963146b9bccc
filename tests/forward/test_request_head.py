"""The head of a request to a provider: what is ours, and of the caller's only what goes along."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tidegate.forward._request import Form
from tidegate.wire.keys import presented

KEY = b"tg_" + b"a" * 12 + b"_" + b"b" * 43
FORWARDED = (b"authorization", b"user-agent", b"x-client-request-id", b"openai-beta")
NAMES = [*FORWARDED, b"x-api-key", b"x-tidegate-key", b"user-agenT", b"user-agen", b"cookie", b""]
VALUES = st.sampled_from([b"", b"a", b"Bearer sk-own", b"Bearer " + KEY, KEY, b"x" * 300])


def plainly(start: bytes, fields: bytes, headers: dict[bytes, bytes], query: bytes, length: int | None) -> bytes:
    """The same, piece by piece."""
    lines = [start + (b"?" + query if query else b"") + fields]
    for name, value in headers.items():
        if name in FORWARDED and not (name == b"authorization" and presented(value) is not None):
            lines.append(name + b": " + value)
    if length is not None:
        lines.append(b"Content-Length: %d" % length)
    return b"\r\n".join(lines) + b"\r\n\r\n"


@given(
    st.lists(st.tuples(st.sampled_from(NAMES), VALUES)).map(dict),
    st.sampled_from([b"", b"beta=true"]),
    st.integers(0, 2**62),
    st.booleans(),
)
def test_heads_have_what_goes_along_in_the_order_it_came(
    headers: dict[bytes, bytes], query: bytes, length: int, measured: bool
) -> None:
    start, fields = b"POST /base/v1/x", b" HTTP/1.1\r\nHost: a"
    form = Form(start, fields, FORWARDED, {b"authorization"}, measured)
    expected = plainly(start, fields, headers, query, length if measured else None)
    assert form.head(headers, query, length) == expected
    assert KEY not in form.head({b"authorization": b"Bearer " + KEY}, query, length)


def test_a_form_has_a_bounded_number_of_fields() -> None:
    with pytest.raises(ValueError, match="at most 16 fields"):
        Form(b"", b"", [b"%d" % each for each in range(17)], (), False)
