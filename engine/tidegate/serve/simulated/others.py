"""Embeddings, and the list of models in both dialects. Any model name is answered; the list is a handful of them."""

import base64
import struct
from typing import Annotated, Any, Literal

from msgspec import Meta, Struct

from ...errors import BadBody
from .answer import Answer, Document
from .text import EPOCH, Sampler, inputs_of

DIMENSIONS = 256
MODELS = (
    "simulated",
    "simulated-fast",
    "gpt-4o",
    "gpt-4o-mini",
    "text-embedding-3-small",
    "claude-sonnet-4",
    "claude-3-5-haiku",
)


class EmbeddingsRequest(Struct, frozen=True, kw_only=True):
    model: str
    input: Any
    dimensions: Annotated[int, Meta(ge=1, le=4096)] | None = None
    encoding_format: Literal["float", "base64"] | None = None


def answer_embeddings(request: EmbeddingsRequest, sampler: Sampler) -> Answer:
    """A unit vector for each input, the same for the same words."""
    try:
        inputs = inputs_of(request.input)
    except ValueError as error:
        raise BadBody(f"{error} - at `$.input`") from None
    tokens = sum(map(len, inputs))
    document = {
        "object": "list",
        "data": [_embedding(index, words, request, sampler) for index, words in enumerate(inputs)],
        "model": request.model,
        "usage": {"prompt_tokens": tokens, "total_tokens": tokens},
    }
    return Answer(tokens, document)


def _embedding(index: int, words: list[str], request: EmbeddingsRequest, sampler: Sampler) -> Document:
    sampler.read(words)
    rolls = sampler.rolls(0)
    numbers = [next(rolls) / 2**30 - 1 for _ in range(request.dimensions or DIMENSIONS)]
    length = sum(number * number for number in numbers) ** 0.5
    vector: list[float] | str = [number / length for number in numbers]
    if request.encoding_format == "base64":  # little-endian float32, which the official clients ask for unasked
        vector = base64.b64encode(struct.pack(f"<{len(vector)}f", *vector)).decode()
    return {"object": "embedding", "index": index, "embedding": vector}


def models_openai(request: None, sampler: Sampler) -> Answer:
    return Answer(0, {"object": "list", "data": [_owned(name) for name in MODELS]})


def models_anthropic(request: None, sampler: Sampler) -> Answer:
    created = "2025-06-15T15:06:40Z"  # EPOCH
    listed = [{"type": "model", "id": name, "display_name": name, "created_at": created} for name in MODELS]
    return Answer(0, {"data": listed, "has_more": False, "first_id": MODELS[0], "last_id": MODELS[-1]})


def _owned(name: str) -> Document:
    return {"id": name, "object": "model", "created": EPOCH, "owned_by": "simulated"}
