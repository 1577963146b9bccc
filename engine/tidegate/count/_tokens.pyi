from collections.abc import Sequence
from typing import Self, final

from typing_extensions import Buffer, disjoint_base

@final
class Vocabulary:
    """The tables of one encoding. They are made once and never change, so that forked processes share them."""

    def __new__(
        cls,
        tokens: Sequence[bytes],
        classes: bytes,
        *,
        cased: bool,
        contractions: bool,
        digits: int,
        whole_end: bool,
    ) -> Self:
        """`tokens` in the order of their ranks; `classes` has the class of each code point; the rest is the shape of
        the pattern that cuts a text into pieces (pieces.h). Raises ValueError for what cannot be counted exactly."""

    @staticmethod
    def mapped(image: Buffer) -> Vocabulary:
        """The vocabulary of which `image` gave these bytes, whose tables stay in them: begun on a multiple of 64.

        Only for bytes that are known to be unchanged, and of this build: of others, only a wrong size is noticed,
        with a ValueError."""

    def image(self) -> bytes:
        """All tables, as `mapped` takes them, for this build of this package on this kind of machine."""

    @property
    def tokens(self) -> int:
        """How many tokens there are."""

    def count(self, text: str | bytes) -> int:
        """The tokens of a whole text, special tokens' spellings counted as text; what is not UTF-8 counts as U+FFFD.

        Long texts are counted without the GIL."""

    def __sizeof__(self) -> int: ...

@disjoint_base
class Counter:
    """Counts a text that arrives in parts, cut anywhere; about 600 bytes, and 9 KiB more once a piece is long."""

    def __new__(cls, vocabulary: Vocabulary) -> Self: ...
    @property
    def vocabulary(self) -> Vocabulary: ...
    def feed(self, text: str | bytes) -> None:
        """The text goes on with this."""

    @property
    def count(self) -> int:
        """The tokens of all text so far, exactly as if it ended here; this can fall as well as rise."""

    def __sizeof__(self) -> int: ...
