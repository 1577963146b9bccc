from collections.abc import Callable
from typing import final

from tidegate.count._tokens import Vocabulary
from tidegate.model import Usage

@final
class Meter:
    """Meters one stream of server-sent events: one call takes one network read, and gives what may go on of it.

    Whole events go on and not a byte of them is changed, unless `strip_usage` is on: then the chunk that only reports
    usage and the `usage` fields that are null are taken out of OpenAI's chunks, so that the client gets the stream of a
    provider that was not asked for usage. A null in an event of several `data` lines stays, and so does one whose
    name is spelt with escapes or stands twice.

    Counts are exact, as if every text ended now, for up to 128 texts that grow side by side. A text is one kind of text
    of one choice or content block: content, refusal, reasoning, a tool's name or arguments.

    A stream that is watched can be stopped at any event in which text comes. That event is counted, and neither it nor
    anything after it goes on; what the meter says of the stream is then what the client has got of it. Only counts and
    what the provider reported take in the event that was held back too.
    """

    def __new__(cls, endpoint: str, vocabulary: Vocabulary, *, limit: int, strip_usage: bool = False) -> Meter:
        """`endpoint` is that of a Route; `limit` are the bytes that an unfinished event may have. ValueError for an
        endpoint that nobody has said how to meter, and for one whose usage cannot be taken out."""

    @property
    def endpoint(self) -> str: ...
    @property
    def vocabulary(self) -> Vocabulary: ...
    def feed(self, read: bytes) -> bytes:
        """The bytes that may go on to the client: up to the end of the last whole event; `read` itself where that is
        all of it and nothing more. After an overflow, and once the stream is stopped, nothing goes on."""

    def rest(self) -> bytes:
        """What stands after the last whole event of a stream that ended by itself; it is read as if it were whole."""

    def watch(self, threshold: int, reached: Callable[[int], int]) -> None:
        """From now on `reached` is asked with the tokens, at every event in which text comes and after which they are
        more than the threshold. It gives the next threshold, or a negative number: then the stream is stopped. Where it
        raises, the stream is stopped too, and what stood before the event in the same read does not go on. A meter
        cannot be fed from within `reached`. To be called before the first read if an ending is to be written.
        """

    def unwatch(self) -> None:
        """`reached` is not asked again, and let go."""

    @property
    def stopped(self) -> bool:
        """`reached` has stopped the stream: nothing goes on, nothing is read."""

    @property
    def held_back(self) -> bytes | None:
        """The data of the event at which the stream was stopped."""

    @property
    def opening(self) -> bytes | None:
        """Of the Responses API, the response as it was opened without its long members, where the stream is watched."""

    @property
    def output(self) -> bytes | None:
        """Of the Responses API, where the stream was stopped: the items that it has put out so far, as a JSON list.
        Those that have ended stand there as they came, a message that has not as incomplete, with what has gone on of
        its text; others that have not are left out. None where nothing was put out, or more than is kept of it.
        """

    @property
    def calling(self) -> bool:
        """A call of a tool has begun to go on, and the end of its block, item or choice has not."""

    def keep_text(self, limit: int) -> None:
        """From now on the last `limit` bytes of the text are kept; 0 keeps none."""

    @property
    def tail(self) -> str:
        """What is kept of the text of all choices, in the order in which it came, in whole characters: all that is
        counted but the names of tools. An event that was held back is in it.
        """

    @property
    def overflow(self) -> bool:
        """An unfinished event is larger than the limit; its bytes are let go."""

    @property
    def tokens(self) -> int:
        """The tokens of all texts so far."""

    def tokens_of(self, choice: int) -> int:
        """The tokens of one choice; of a choice past the first 128, those of its texts that may still grow."""

    @property
    def size(self) -> int:
        """The bytes of all texts so far."""

    @property
    def foreign(self) -> int:
        """Those of them that are not ASCII."""

    @property
    def characters(self) -> int:
        """What they spell, in code points."""

    @property
    def choices(self) -> int:
        """How many choices have been seen: one more than the highest number."""

    @property
    def usage(self) -> Usage | None:
        """What the provider has reported so far."""

    @property
    def finish(self) -> dict[int, str]:
        """Why choices have ended, of the first 128 those that have."""

    @property
    def done(self) -> bool:
        """The event that ends a stream of this dialect was seen."""

    @property
    def error(self) -> bool:
        """An event that says the stream has failed was seen."""

    def __sizeof__(self) -> int:
        """With all that it has allocated, except for the provider's report and the reasons."""
