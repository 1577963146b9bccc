"""What is meant as a virtual key is never taken for a provider's key."""

from base64 import b64encode

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tidegate.identify.keys import ALPHABET, new_id, new_key
from tidegate.wire.keys import ID, LENGTH, presented

KEY = b"tg_0123456789ab_" + b"S" * 43
HIDDEN = {
    "a name": b"Basic " + b64encode(KEY + b":"),
    "a password": b"basic " + b64encode(b"user:" + KEY).rstrip(b"="),
    "a password that was cut off": b"BASIC  " + b64encode(b":" + KEY[:20]),
}

CASES = [
    (KEY, KEY, "the key alone, as in x-api-key"),
    (b"Bearer " + KEY, KEY, "as clients send it"),
    (b"bearer  " + KEY, KEY, "another spelling of the scheme, two spaces"),
    (b"BEARER\t" + KEY, KEY, "a tab"),
    (b"Bearer tg_short", b"tg_short", "cut off: a wrong key, not another kind"),
    (b"tg_", b"tg_", "nothing behind the prefix"),
    (b"Bearer " + KEY.upper(), KEY.upper(), "in capitals"),
    (b'Bearer "' + KEY + b'"', b'"' + KEY + b'"', "in quotes"),
    (b"Bearer " + KEY + b" x", b"Bearer " + KEY + b" x", "with a word behind it"),
    (b"Basic " + KEY, b"Basic " + KEY, "another scheme"),
    *[(each, each, f"as {name}") for name, each in HIDDEN.items()],
    (b"Basic dXNlcjpwYXNzd29yZA==", None, "a name and a password"),
    (b"Basic ?", None, "neither"),
    (b"Bearer " + KEY + b"," + KEY, KEY + b"," + KEY, "twice"),
    (KEY + b"x", KEY + b"x", "too long"),
    (b"Bearer sk-proj-abc", None, "OpenAI's"),
    (b"sk-ant-api03-tg_abc", None, "letters that happen to be in a provider's key"),
    (b"Bearer", None, "a scheme alone"),
    (b"", None, "nothing"),
]


@pytest.mark.parametrize(("value", "key", "note"), CASES, ids=[case[2] for case in CASES])
def test_what_a_field_presents(value: bytes, key: bytes | None, note: str) -> None:
    assert presented(value) == key, note


@given(st.binary(max_size=80), st.binary(max_size=80))
def test_a_whole_key_is_found_wherever_it_stands(before: bytes, after: bytes) -> None:
    assert presented(before + KEY + after) is not None


def test_the_form_of_a_key() -> None:
    keys = [new_key(new_id()) for _ in range(200)]
    assert {len(key) for key in keys} == {LENGTH}
    assert len({key[:ID] for key in keys}) == len({key[ID:] for key in keys}) == 200
    assert {letter for key in keys for letter in key[ID + 1 :]} == set(ALPHABET), "8600 draws of 62"
    assert len(ALPHABET) ** 43 >= 2**256
    assert all(presented(key.encode()) == key.encode() for key in keys)
