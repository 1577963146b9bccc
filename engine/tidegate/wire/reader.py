"""Reads the bodies of one route: first that they have one meaning, then the governed fields."""

import msgspec

from tidegate.errors import BadBody
from tidegate.wire._governed import Fields
from tidegate.wire._strict import Fault
from tidegate.wire.dialect import Governed
from tidegate.wire.shape import shape_of


class Reader:
    """For one body Struct."""

    def __init__(self, body: type[Governed], depth: int) -> None:
        self._fields = Fields(body, shape_of(body))
        self._depth = depth
        self._later = "background" in body.__struct_fields__  # whether a call may ask for an answer that is made later
        self._decode = msgspec.json.Decoder(body).decode

    def read(self, body: bytes) -> Governed:
        """The governed fields; raises BadBody."""
        read = self._fields.read(body, self._depth)
        if read is None:
            read = self._decoded(body)
        elif isinstance(read, Fault):
            raise BadBody(read.explain())
        if self._later and read.background:
            raise BadBody("`background` is refused: an answer that is made later could not be metered")
        return read  # type: ignore[no-any-return]

    def _decoded(self, body: bytes) -> Governed:
        """A body of one meaning, by msgspec."""
        try:
            return self._decode(body)
        except msgspec.MsgspecError as error:
            raise BadBody(str(error)[0].lower() + str(error)[1:]) from None
