"""The address of a client, as policies read it."""

import pytest

from tidegate.accept.connection import address_of


@pytest.mark.parametrize(
    ("peer", "address", "note"),
    [
        (("10.0.0.1", 80), "10.0.0.1", "IPv4"),
        (("2001:db8::1", 80, 0, 0), "2001:db8::1", "IPv6"),
        (("::ffff:10.0.0.1", 80, 0, 0), "10.0.0.1", "IPv4 on a socket that takes both"),
        ("", None, "a Unix socket"),
        (b"\0name", None, "an abstract one"),
        (None, None, "a connection that is gone"),
    ],
)
def test_the_address_of_a_peer(peer: object, address: str | None, note: str) -> None:
    assert address_of(peer) == address, note
