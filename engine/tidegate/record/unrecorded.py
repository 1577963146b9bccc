"""Why a call cannot be recorded."""

from typing import ClassVar

from tidegate.errors import TidegateError


class Unrecorded(TidegateError):
    """The journal cannot take or keep a record at this moment, and evidence is required; trying later helps."""

    status: ClassVar[int] = 503
    code: ClassVar[str] = "unrecorded"
