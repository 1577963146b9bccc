"""Which report an endpoint's answers hold. A report is made for each call; it is given the whole answer, or every event
that may hold usage, and says at any time what the provider has reported so far, in the one meaning of `Usage`.

What cannot be read is as good as not reported: a call's usage is then what was counted.
"""

from collections.abc import Callable, Mapping
from typing import Final, Protocol

from msgspec import structs

from tidegate.count.usage_anthropic import MessageReport
from tidegate.count.usage_bedrock import ConverseReport
from tidegate.count.usage_gemini import GenerateReport
from tidegate.count.usage_openai import ChatReport, ResponseReport
from tidegate.model import Usage


class Report(Protocol):
    """What the provider says that one call used."""

    @property
    def usage(self) -> Usage | None:
        """As far as it was reported; None where it was not."""
        ...

    def plain(self, body: bytes) -> None:
        """Read a whole answer."""
        ...

    def event(self, data: bytes) -> None:
        """Read the data of one event of a stream."""
        ...


# by Route.endpoint; one that is not here (models, count_tokens) is not charged
REPORTS: Final[Mapping[str, Callable[[], Report]]] = {
    "chat.completions": ChatReport,
    "completions": ChatReport,
    "embeddings": ChatReport,
    "responses": ResponseReport,
    "messages": MessageReport,
    "generate_content": GenerateReport,
    "converse": ConverseReport,
}


def report(endpoint: str) -> Report | None:
    """A report for one call; None where calls are not charged."""
    made = REPORTS.get(endpoint)
    return made() if made else None


def reported(endpoint: str, body: bytes) -> Usage | None:
    """What a whole answer says that its call used."""
    told = report(endpoint)
    if told is None:
        return None
    told.plain(body)
    return told.usage


def settled(reported: Usage | None, counted: Usage, complete: bool) -> Usage:
    """What a call is charged for: what the provider reported, else what was counted. A report of an answer that broke
    off (the client left) is of its beginning, so that its output is at least what was counted.
    """
    if reported is None:
        return counted
    if complete or reported.output_tokens >= counted.output_tokens:
        return reported
    return structs.replace(reported, output_tokens=counted.output_tokens, kind=counted.kind)
