from typing import Any

from tidegate.model import Usage

UNDECIDED: object

def quick_usage(answer: bytes) -> Any:
    """The Usage that an answer of chat completions, completions or embeddings reports, or an event of its stream; None
    where it reports nothing; UNDECIDED where only a full parse can say what the document is."""

def full_usage(figures: list[int | None], tier: str | None) -> Usage | None:
    """The same of what a full parse has found: `prompt_tokens`, `completion_tokens`, `total_tokens`; of the details of
    the prompt `cached_tokens`, `cache_write_tokens`, `audio_tokens`, and of the completion `reasoning_tokens`,
    `audio_tokens`; then what other servers have beside them: `cached_tokens`, `prompt_cache_hit_tokens`,
    `reasoning_tokens`, `citation_tokens`, `num_search_queries`."""
