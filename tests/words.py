"""A vocabulary in which one word of the simulated provider is one token, so that two books can be compared exactly.

The provider bills words. With a published vocabulary the gateway counts something else, and what it counted could only
be compared with the bill roughly; with this one the two must be equal wherever both saw the same bytes. Prompts are
lists of token numbers, which are their own count here and there.
"""

from base64 import b64encode
from pathlib import Path

from tidegate.serve.simulated.text import PLAIN, WIDE


def write_vocabulary(folder: Path) -> str:
    """Writes it, and returns the settings that name it."""
    ranks: dict[bytes, int] = {}
    for piece in [f" {word}".encode() for word in (*PLAIN, *WIDE)] + [word.encode() for word in (*PLAIN, *WIDE)]:
        for end in range(2, len(piece) + 1):  # a word grows from its start, byte by byte
            ranks.setdefault(piece[:end], len(ranks))
    tokens = [bytes([value]) for value in range(256)] + list(ranks)
    text = b"".join(b"%b %d\n" % (b64encode(token), rank) for rank, token in enumerate(tokens))
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "words.tiktoken").write_bytes(text)
    return '[vocabulary.words]\npath = "words.tiktoken"\nshape = "o200k"\nmodels = ["simulated*"]\n'


def tokens(*numbers: int, length: int = 5) -> list[int]:
    """A prompt of so many tokens that begins with these."""
    return [*numbers, *[7] * (length - len(numbers))]
