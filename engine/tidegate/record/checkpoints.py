"""Checkpoints (C2SP tlog-checkpoint): what a log is at one size, in three lines that its keys sign.

    example.com/ledger                                     the origin: which log this is
    700                                                    how many entries it has
    qINS1GRFhWHwdkUeqLEoP4yEMkTBBzxBkGwGQlVlVcs=            the root of the tree over them

Lines that follow are kept as they are; this log writes none.
"""

import base64
import binascii
import re
from typing import Final, NamedTuple

from tidegate.errors import TidegateError
from tidegate.record.merkle import HASH_SIZE

SIZE_MAX: Final = 2**63 - 1

_CHECKPOINT = re.compile(r"([^\n]+)\n(0|[1-9][0-9]{0,18})\n([^\n]+)\n((?:[^\n]+\n)*)")


class CheckpointError(TidegateError):
    """A text is not a checkpoint."""

    code = "checkpoint_refused"
    status = 422


class Checkpoint(NamedTuple):
    """A log at one size."""

    origin: str
    size: int
    root: bytes
    extensions: tuple[str, ...] = ()

    @property
    def text(self) -> str:
        """The text of the note that says it."""
        lines = (self.origin, str(self.size), base64.b64encode(self.root).decode(), *self.extensions)
        return "".join([line + "\n" for line in lines])


def parse_checkpoint(text: str | bytes) -> Checkpoint:
    """The checkpoint that a note's text is; the note itself is opened first. There is one text for each checkpoint."""
    try:
        whole = text.decode() if isinstance(text, bytes) else text
    except UnicodeDecodeError as error:
        raise CheckpointError("a checkpoint is not UTF-8") from error
    if not (found := _CHECKPOINT.fullmatch(whole)):
        raise CheckpointError("a checkpoint has a line for each of origin, size and root, and no empty line")
    origin, digits, encoded, extensions = found.groups()
    try:
        root = base64.b64decode(encoded, validate=True)
    except (binascii.Error, ValueError) as error:
        raise CheckpointError("the root of a checkpoint is not base64") from error
    checkpoint = Checkpoint(origin, int(digits), root, tuple(extensions.split("\n")[:-1]))
    if len(root) != HASH_SIZE or checkpoint.size > SIZE_MAX or checkpoint.text != whole:
        raise CheckpointError(f"the size of a checkpoint is up to {SIZE_MAX}, its root the base64 of {HASH_SIZE} bytes")
    return checkpoint
