"""Words, their price, and the dice.

The rule of this provider: **one word is one token**. A word is what `str.split()` yields, so the output tokens of a
text are `len(text.split())`, and its prompt tokens are the words of all its texts plus `PER_MESSAGE` for every
message (a system prompt or instructions count as one). Tool definitions, images and files cost nothing; a prompt
given as token numbers costs one token a number. A tool call costs one token for its name and one for every started
`PIECE` characters of its arguments.

The dice: words depend on the seed and the prompt's words alone, so the same question gets the same answer, streamed or
not and under any fault; ids and `created` depend on the seed and the body's bytes. About one word in eleven is not
ASCII: accents (2 bytes a character), CJK (3) and emoji (4 and more).
"""

import hashlib
from collections.abc import Iterable, Iterator
from typing import Annotated, Any

from msgspec import Meta, Struct

from .ledger import KEY

PER_MESSAGE = 3
PIECE = 8  # characters of tool arguments that are one token
SHORTEST, LONGEST = 12, 60  # words of an answer that nothing limits
MOST = 1_000_000  # words of any answer
EPOCH = 1_750_000_000  # the earliest `created`

Limit = Annotated[int, Meta(ge=1, le=MOST)]

COMMON = """
    a about above after again all also always an and any are as at back be because been before between both but
    by can change city clear come could day did do down each early end even every far few find first for form
    found from gate give good great harbour has have here high hold home house how idea if in into is it its
    just keep kind know land large last late learn left letter light like line little long look made make many
    may measure moon more most much must near never new next night no not now number of off often old on once
    one only open or other our out over part people place point rain right river rule same sea see set ship
    should show side since small so some sound state still stone stop such take tell than that the their them
    then there these they thing think this those time to too tide turn two under until up use very wall want was
    water wave way we well were what when where which while will wind with without word work world would year
    you
"""
PLAIN = tuple(COMMON.split())
WIDE = ("café", "naïve", "Straße", "Ærø", "данные", "θάλασσα", "東京", "潮汐", "한국어", "🙂", "🌊", "👩\u200d🔬")


class Output(Struct, frozen=True):
    """One choice of an answer: pieces of one token each; with `tool`, the arguments of a call of it."""

    pieces: list[str]
    cut: bool  # the caller's limit ended it
    tool: str = ""

    @property
    def tokens(self) -> int:
        return len(self.pieces) + (1 if self.tool else 0)

    @property
    def text(self) -> str:
        return "".join(self.pieces)


class Sampler:
    """The dice of one call."""

    def __init__(self, seed: int, body: bytes) -> None:
        self.exact: int | None = None  # words that every text has, if set
        self._seed = b"%d\0" % seed
        self._key = hashlib.sha256(self._seed + body).digest()
        self._root = 0

    def read(self, words: Iterable[str]) -> None:
        """Take the prompt in: what is written from now on is an answer to it."""
        prompt = "\0".join(words).encode("utf-8", "surrogatepass")
        self._root = int.from_bytes(hashlib.sha256(self._seed + prompt).digest()[:8], "little")

    @property
    def key(self) -> str:
        """What every id of this call ends in."""
        return self._key.hex()[:KEY]

    @property
    def created(self) -> int:
        return EPOCH + int.from_bytes(self._key[-3:], "little")

    def write(self, choice: int, limit: int | None) -> Output:
        """A text: of the exact length if one is set, else cut at the limit if there is one, else of its own length."""
        rolls = self.rolls(choice)
        natural = SHORTEST + next(rolls) % (LONGEST - SHORTEST + 1)
        length = self.exact or limit or natural
        words = (_word(next(rolls)) for _ in range(length))
        pieces = [next(words), *(" " + word for word in words)]
        return Output(pieces, cut=not self.exact and limit is not None)

    def call(self, tool: str, arguments: str, limit: int | None) -> Output:
        """A call of a tool; one that costs more than the limit is cut like any output, and is then not valid JSON."""
        pieces = [arguments[at : at + PIECE] for at in range(0, len(arguments), PIECE)]
        if limit is not None and 1 + len(pieces) > limit:
            return Output(pieces[: limit - 1], cut=True, tool=tool)
        return Output(pieces, cut=False, tool=tool)

    def rolls(self, choice: int) -> Iterator[int]:
        """Endless numbers below 2**31: Knuth's MMIX generator, the same on every machine and cheap to start."""
        state = self._root + choice * 0x9E3779B97F4A7C15
        while True:
            state = (state * 6364136223846793005 + 1442695040888963407) & 0xFFFFFFFFFFFFFFFF
            yield state >> 33


def _word(roll: int) -> str:
    if roll % 11:
        return PLAIN[roll // 11 % len(PLAIN)]
    return WIDE[roll // 11 % len(WIDE)]


def words_of(content: Any) -> Iterator[str]:
    """The words in a message's content: a string, parts with `text`, tool results with `content` or `output`."""
    if isinstance(content, str):
        yield from content.split()
    elif isinstance(content, list):
        for part in content:
            yield from words_of(part)
    elif isinstance(content, dict):
        for field in ("text", "content", "output"):
            yield from words_of(content.get(field))


def inputs_of(prompt: Any) -> list[list[str]]:
    """The inputs of a `prompt` or `input` that may be a text, a list of token numbers, or a list of either."""
    if isinstance(prompt, str):
        return [prompt.split()]
    if not isinstance(prompt, list) or not prompt:
        raise ValueError("expected a text, token numbers, or a list of those that is not empty")
    if all(isinstance(token, int) for token in prompt):
        return [[str(token) for token in prompt]]
    return [one for item in prompt for one in inputs_of(item)]
