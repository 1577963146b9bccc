from typing import final

@final
class RunIds:
    """Makes ids for one worker process; `tag` is what tells workers apart."""

    def __init__(self, tag: int | None = None) -> None: ...
    def new(self) -> bytes: ...
