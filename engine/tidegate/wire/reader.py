"""Reads the bodies of one route: first that they have one meaning, then the governed fields."""

import msgspec

from tidegate.errors import BadBody
from tidegate.wire._strict import check
from tidegate.wire.dialect import Governed
from tidegate.wire.shape import shape_of


class Reader:
    """For one body Struct."""

    def __init__(self, body: type[Governed], depth: int) -> None:
        self._shape = shape_of(body)
        self._depth = depth
        self._decode = msgspec.json.Decoder(body).decode

    def read(self, body: bytes) -> Governed:
        """The governed fields; raises BadBody."""
        fault = check(body, self._shape, self._depth)
        if fault is not None:
            raise BadBody(fault.explain())
        try:
            return self._decode(body)
        except msgspec.MsgspecError as error:
            raise BadBody(str(error)[0].lower() + str(error)[1:]) from None
