"""What a whole answer says, and its tokens, for a call whose provider reports no usage."""

from tidegate.count._tokens import Vocabulary
from tidegate.count.paths import ANSWERS, NAMES, parsed, said


def answer_tokens(endpoint: str, body: bytes, vocabulary: Vocabulary) -> int | None:
    """The tokens of the model's text in an answer, each text counted by itself, by the rules that hold for streams.

    None where the body is no answer of the endpoint's: nothing is known then. A long text is counted without the GIL.
    """
    answer = said(ANSWERS[endpoint], parsed(body))
    if answer is None:
        return None
    return sum(vocabulary.count(each.text) for each in answer.found)


def answer_text(endpoint: str, body: bytes) -> str | None:
    """The model's text in an answer, as the tail of a stream would have it: without the names of tools. A line end
    stands between two texts. Empty where there is none; None where the body is no answer of the endpoint's.
    """
    answer = said(ANSWERS[endpoint], parsed(body))
    if answer is None:
        return None
    return "\n".join(each.text for each in answer.found if each.leaf not in NAMES)
