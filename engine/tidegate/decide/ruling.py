"""What a call reads of the policy in force, whether there is one or not."""

from tidegate.decide.admission import Admission
from tidegate.decide.declared import Declared


class Ruling:
    """Of one policy; with C fields, because every call reads them."""

    def __init__(self) -> None:
        self.phases: frozenset[str] = frozenset()  # those that it has a package for
        self.wanted: frozenset[str] = frozenset()  # those in which it is asked, or its shadow is
        self.declared: dict[str, Declared] = {}  # the limits of `input.limits`
        self.alone: Admission | None = None  # what `admit` comes down to where no shadow is asked too
