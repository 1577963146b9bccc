"""The class of every code point, found by asking the reference tokenizer's own pattern.

Python's `unicodedata` knows another version of Unicode than the tokenizers do (thousands of code points differ), so the
table that Tidegate counts with is derived here, by `python -m tests.count.classes`, and frozen.
"""

import gzip
from pathlib import Path

from tests.count import reference

TABLE = Path(__file__).parents[2] / "engine" / "tidegate" / "count" / "data" / "classes.gz"
OTHER, UPPER, LOWER, LETTER, MARK, NUMBER, SPACE, NEWLINE = range(8)
SURROGATES = range(0xD800, 0xE000)
BLOCK = 0x1000
PROBES = ("1{}", "!{}", "!!{}", "a{}", "{}Aa")


def classes_of(characters: list[str]) -> bytes:
    """Told by how o200k cuts each from its neighbours: a probe that is one piece is one token of this vocabulary."""
    pattern = str(reference.parts("o200k_base")["pat_str"])
    wholes = [probe.format(character).encode() for probe in PROBES for character in characters]
    tokens = dict.fromkeys([*(bytes([byte]) for byte in range(256)), *wholes])
    encode = reference.with_tokens(pattern, tokens).encode_ordinary

    def class_of(character: str) -> int:
        after_digit, after_symbol, after_two, after_small, before_capital = (
            len(encode(probe.format(character))) == 1 for probe in PROBES
        )
        if character in "\r\n":
            return NEWLINE
        if after_digit:
            return NUMBER
        if not after_symbol:
            return SPACE
        if after_two:
            return MARK if after_small else OTHER
        if not after_small:
            return UPPER
        return LETTER if before_capital else LOWER

    return bytes(map(class_of, characters))


def derived() -> bytes:
    """The whole table; surrogates, which no text contains, are OTHER."""
    table = bytearray()
    for block in range(0, 0x110000, BLOCK):
        codes = [code for code in range(block, block + BLOCK) if code not in SURROGATES]
        table += classes_of([chr(code) for code in codes]) if codes else b""
        table += bytes(BLOCK - len(codes))
    return bytes(table)


if __name__ == "__main__":
    TABLE.write_bytes(gzip.compress(derived(), mtime=0))
