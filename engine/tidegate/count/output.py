"""What a response of the Responses API has put out so far, for an ending of ours to repeat.

Its output is a list of items. Each is opened, and stated whole when it has ended; a message has parts in between, which
are opened and ended in the same way. What has ended is kept as it came. Of a message that has not ended, the open part
is what was said since it was opened, which whoever keeps the end of the stream's text can tell. Items of other kinds
that have not ended are left out: half of a call is another call, and half a thought has no text that counts.

All of it is bounded. Where there is more, or where one thing is opened before the last has ended, nothing is known any
more.
"""

from typing import Final

import msgspec
from msgspec import Raw, Struct

from tidegate.count.paths import parsed

LONGEST: Final = 16 * 1024  # bytes of what is kept here
LONGEST_SAID: Final = 16 * 1024  # bytes of an open part that can be repeated; some 4,000 tokens of English
TEXTS: Final = {"output_text": "text", "refusal": "refusal"}  # where parts have their text
DELTAS: Final = {"response.output_text.delta": "output_text", "response.refusal.delta": "refusal"}


class _Event(Struct):
    type: str
    output_index: int
    content_index: int = 0
    item: Raw = Raw(b"")
    part: Raw = Raw(b"")


class _Open(Struct):
    """A part that has not ended."""

    number: int
    kind: str
    members: dict[str, Raw]
    at: int  # so many bytes of the stream's text were there when it was opened


class Output:
    """As far as it has gone on."""

    def __init__(self) -> None:
        self._items: dict[int, Raw] = {}
        self._open: tuple[int, Raw] | None = None  # an item that has not ended
        self._parts: dict[int, Raw] = {}  # of that one, those that have
        self._part: _Open | None = None
        self._known = True

    def event(self, data: bytes, at: int) -> None:
        """An event has gone on that opens or ends something; `at` so many bytes of the stream's text."""
        if self._known:
            try:
                self._known = self._note(msgspec.json.decode(data, type=_Event), at) and self._size() <= LONGEST
            except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError, KeyError):
                self._known = False
            if not self._known:
                self._items, self._open, self._parts, self._part = {}, None, {}, None

    def _size(self) -> int:
        kept = [*self._items.values(), *self._parts.values()] + ([self._open[1]] if self._open is not None else [])
        return sum(map(len, kept)) + (sum(map(len, self._part.members.values())) if self._part is not None else 0)

    def _note(self, event: _Event, at: int) -> bool:
        """Whether it comes where it may."""
        number, part = event.content_index, self._part
        inside = self._open is not None and self._open[0] == event.output_index
        if event.type == "response.output_item.added":
            if self._open is not None:
                return False
            self._open = event.output_index, _object(event.item)
        elif event.type == "response.output_item.done":
            if self._open is not None and not inside:
                return False
            self._items[event.output_index] = _object(event.item)
            self._open, self._parts, self._part = None, {}, None
        elif event.type == "response.content_part.added":
            if not inside or part is not None:
                return False
            members = {name: value.copy() for name, value in _members(event.part).items()}
            self._part = _Open(number, msgspec.json.decode(members["type"], type=str), members, at)
        else:
            if not inside or part is None or part.number != number:
                return False
            self._parts[number] = _object(event.part)
            self._part = None
        return True

    def so_far(self, end: bytes, total: int, held: bytes) -> bytes | None:
        """The items as a JSON list; None where they are not known. `end` is the end of the stream's text, of which
        there are `total` bytes; `held` the event that does not go on, whose text is the last of them.
        """
        items = dict(self._items)
        if not self._known:
            return None
        if self._open is not None:
            number, item = self._open
            members = _members(item)
            if members.get("type") == Raw(b'"message"'):
                parts = dict(self._parts)
                if self._part is not None:
                    said = self._said(self._part, end, total, held)
                    if said is None:
                        return None
                    parts[self._part.number] = said
                content = [parts[number] for number in sorted(parts)]
                items[number] = Raw(msgspec.json.encode({**members, "status": "incomplete", "content": content}))
        return msgspec.json.encode([items[number] for number in sorted(items)])

    def _said(self, part: _Open, end: bytes, total: int, held: bytes) -> Raw | None:
        """The part with its text."""
        size = total - part.at
        text = end[len(end) - size :]
        event = parsed(held)
        if part.kind not in TEXTS or not 0 <= size <= len(end) or not isinstance(event, dict):
            return None
        delta = event.get("delta")
        if isinstance(delta, str):
            where = event.get("output_index"), event.get("content_index"), DELTAS.get(str(event.get("type")))
            last = delta.encode("utf-16", "surrogatepass").decode("utf-16", "replace").encode()
            if self._open is None or where != (self._open[0], part.number, part.kind) or not text.endswith(last):
                return None
            text = text.removesuffix(last)
        return Raw(msgspec.json.encode({**part.members, TEXTS[part.kind]: text.decode("utf-8", "replace")}))


def _object(item: Raw) -> Raw:
    """The same without the event that it came in; an error where it is no object."""
    _members(item)
    return item.copy()


def _members(item: Raw) -> dict[str, Raw]:
    return msgspec.json.decode(item, type=dict[str, Raw])
