"""What has been counted of one prompt so far, whatever the dialect.

Texts are counted in the model's vocabulary, or in the one that stands for it. What is no text (images, audio, files) is
estimated and kept apart, because nobody's vocabulary changes it. What cannot be read as its dialect has it is counted
as the JSON text that it is, which is hardly ever less than it becomes, and never nothing.
"""

import re
from binascii import Error as Base64Error
from binascii import a2b_base64
from typing import Final, TypeVar

import msgspec
from msgspec import Raw

from tidegate.count import images
from tidegate.count._prompt import Counts
from tidegate.count.framing import Framing

# where nobody says how much something is: estimates on the high side
AUDIO_BYTES: Final = 400  # of a token: ten tokens a second, at 32 kbit/s
WAV_BYTES: Final = 800  # of a token: ten tokens a second, at 8 kHz and 8 bits
UNSEEN_AUDIO: Final = 6000  # ten minutes
PAGE_BYTES: Final = 16_384
PAGE: Final = 4500  # tokens of a page: up to 3,000 of text, and its picture
MOST_PAGES: Final = 600  # that any provider takes
UNSEEN_PAGES: Final = 20  # of a file that only the provider has
STRANGE: Final = 1000  # parts; clients that are merely ahead of this version send fewer
OPAQUE: Final = 4  # letters of a token, in what only the provider can read

_LONG_STRING: Final = re.compile(rb'"([^"\\]{2000,})"')
_BASE64: Final = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/-_="

Document = TypeVar("Document")


def _pages(encoded: int) -> int:
    """How many pages so many letters of base64 may be."""
    return min(-(-encoded * 3 // (4 * PAGE_BYTES)), MOST_PAGES)


class Tally(Counts):
    """The counts of one prompt: of its texts, and of what is none."""

    __slots__ = ("around",)
    around: Framing  # of the model; who counts for OpenAI's dialect sets it

    @property
    def tokens(self) -> int:
        """All of them."""
        return self.counted + self.framing + self.media

    def as_written(self, json: Raw) -> None:
        """JSON that reaches the model as it is, or nearly so."""
        self.plain = False
        self.text(bytes(json).decode("utf-8", "replace"))

    def unknown(self, json: Raw) -> None:
        """A part that nobody here knows: as it is written, but for long base64 in it, which is taken for a file."""
        self.strange += 1
        self.others += 1
        self.plain = False
        text = bytes(json)
        done = 0
        rest = []
        for found in _LONG_STRING.finditer(text):
            data = found[1].rpartition(b",")[2]
            if not data.translate(None, _BASE64):
                self.media += _pages(len(data)) * PAGE
                rest.append(text[done : found.end(1) - len(data)])
                done = found.end(1)
        rest.append(text[done:])
        self.text(b"".join(rest).decode("utf-8", "replace"))

    def remembered(self, thought: str | None) -> None:
        """What the model thought in an earlier turn; providers let it read that again, or not."""
        self.plain = False
        self.others += 1
        self.text(thought)

    def opaque(self, text: str | None) -> None:
        """What only the provider can read."""
        self.plain = False
        self.others += 1
        self.media += -(-len(text or "") // OPAQUE)

    def image(self, encoded: str | None, detail: str | None = None) -> None:
        """An image in base64 or as a `data:` URL; another URL, or None, is one that only the provider can see."""
        self.plain = False
        self.images += 1
        size = images.size(encoded) if encoded else None
        self.media += images.image_tokens(self.model, size, detail or "auto")

    def audio(self, encoded: str | None, form: str | None = None) -> None:
        """Audio in base64; None is some that only the provider has."""
        self.plain = False
        self.others += 1
        if encoded is None:
            self.media += UNSEEN_AUDIO
        else:
            self.media += -(-len(encoded) * 3 // (4 * (WAV_BYTES if form == "wav" else AUDIO_BYTES)))

    def file(self, encoded: str | None) -> None:
        """A file in base64 or as a `data:` URL: a text is counted, of anything else the pages are guessed by its size.
        None is one that only the provider has."""
        self.plain = False
        self.others += 1
        if encoded is None:
            self.media += UNSEEN_PAGES * PAGE
            return
        head, _, data = encoded.rpartition(",")
        if head.startswith("data:text/"):
            try:
                self.text(a2b_base64(data).decode("utf-8", "replace"))
                return
            except Base64Error:
                pass
        self.media += _pages(len(data)) * PAGE

    def read(self, json: Raw, decoder: "msgspec.json.Decoder[Document]") -> Document | None:
        """The document, or None for JSON of another form, which then has been counted as it is written. Who sends more
        of that than `STRANGE` is not read on: then every byte is a token, so that it takes no time."""
        if self.strange >= STRANGE:
            self.plain = False
            self.counted += memoryview(json).nbytes
            return None
        try:
            return decoder.decode(json)
        except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
            self.unknown(json)
            return None
