"""The tokens of a whole answer, for a call whose provider reports no usage."""

from tidegate.count._tokens import Vocabulary
from tidegate.count.paths import ANSWERS, parsed, said


def answer_tokens(endpoint: str, body: bytes, vocabulary: Vocabulary) -> int | None:
    """The tokens of the model's text in an answer, each text counted by itself, by the rules that hold for streams.

    None where the body is no answer of the endpoint's: nothing is known then. A long text is counted without the GIL.
    """
    answer = said(ANSWERS[endpoint], parsed(body))
    if answer is None:
        return None
    return sum(vocabulary.count(each.text) for each in answer.found)
