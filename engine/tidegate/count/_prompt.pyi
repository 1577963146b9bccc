from collections.abc import Callable, Iterable
from typing import Any, Self, final

from msgspec import Raw
from typing_extensions import disjoint_base

from tidegate.count._tokens import Vocabulary

@final
class Form:
    """Which messages of a dialect are plain: those that hold nothing but texts."""

    def __new__(
        cls,
        message: Iterable[str],
        part: Iterable[str],
        texts: Iterable[str],
        *,
        roles: Iterable[str] = (),
        sorts: Iterable[str] = (),
        named: bool = False,
    ) -> Self:
        """`message` and `part` are the fields that mean something; `texts` are the types of parts that are texts,
        `roles` those that no plain message has. `named`: a message may have a `name` that is counted. `sorts`: messages
        have a `type`, and the plain ones one of these or none. Raises ValueError for names that are too long or too
        many."""

@final
class Fields:
    """The fields of a kind of body that are counted, found where a Struct keeps them."""

    def __new__(cls, kind: type[Any], by: dict[str, Callable[..., None]]) -> Self:
        """`by` counts each field, in this order. Raises ValueError for more than eight."""

    @property
    def by(self) -> tuple[Callable[..., None], ...]: ...
    @property
    def count(self) -> int: ...
    def of(self, fields: Any, at: int) -> Any:
        """The field of this number of such a body."""

@disjoint_base
class Counts:
    """What has been counted of one prompt so far."""

    def __new__(cls, model: str, vocabulary: Vocabulary) -> Self:
        """For a model, in a vocabulary, which may be another's."""

    @property
    def model(self) -> str: ...
    @property
    def vocabulary(self) -> Vocabulary: ...
    counted: int  # tokens of texts
    framing: int  # tokens that stand between the texts
    media: int  # tokens of what is no text
    characters: int
    size: int  # bytes of the texts
    foreign: int  # and those of them that are not ASCII
    messages: int
    tools: int
    images: int
    others: int  # parts of which only an estimate is known
    strange: int  # parts that nobody here knows
    prompts: int  # that are answered each by itself, where a prompt may be a list of them; 0: nobody has counted them
    best: int  # answers that are made for one of them, of which the caller gets the best
    plain: bool  # nothing was there but what has a published and exact count

    def text(self, text: str | None) -> None:
        """A text; half a pair of surrogates in it counts as a question mark."""

    def odd(self, json: Raw, form: Form, framing: int, name: int) -> list[Raw] | None:
        """Counts the plain messages of a list, each with the tokens `framing` around it, and `name` more if it has a
        name. The other messages come back in their order. None: nothing was counted, because this is no list, or one
        that only a full parse can read."""
