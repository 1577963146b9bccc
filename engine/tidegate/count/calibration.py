"""Better counts for models whose vocabulary is not public, learnt from what their providers report.

Two vocabularies differ by a ratio that depends on the text. So for each model, and apart for what it reads and what it
writes, four kinds of text (features.py) have a ratio of their own, learnt from calls (evidence.py). Before a call is
learnt from, it is estimated, and how far off that was is kept: the margin of an estimate is what 95 % of the errors
stay within.

Every worker learns by itself and keeps a file of its own. When it starts it reads those of the others too; what they
knew counts beside what it learns, and fades as that grows.
"""

from pathlib import Path
from typing import Final

from tidegate.count import calibration_file as files
from tidegate.count.evidence import Learnt, Rate, assumed, rates
from tidegate.count.features import Side
from tidegate.model import Usage

SMALL: Final = 32  # tokens that errors are measured with: of a short text they say nothing

# whose reports of cached tokens have one documented meaning; other servers may have them in the input or beside it
CLEAR_CACHES: Final = frozenset(("anthropic", "aws", "azure", "deepseek", "google", "openai", "x-ai"))


class Calibration:
    """What one worker knows of the vocabularies that nobody publishes."""

    def __init__(self, folder: Path, worker: int) -> None:
        """Reads what this worker and the others have kept in the folder, which is made where it is missing. A file that
        cannot be used is set aside, nothing else is lost, and `flaws` says so. Raises OSError for the folder alone.
        """
        self.flaws: list[str] = []
        self._path = folder / files.name(worker)
        self._own: dict[files.Key, Learnt] = {}  # the one learnt last is the last
        self._others: dict[files.Key, Learnt] = {}
        self._rates: dict[Side, dict[files.Key, tuple[Rate, ...]]] = {"prompt": {}, "output": {}}  # of known models
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        for path in files.names(folder):
            known = self._own if path == self._path else self._others
            for key, learnt in self._read(path).items():
                if key in known:
                    known[key] += learnt
                elif len(known) < files.MODELS:
                    known[key] = learnt

    def rates(self, provider: str, model: str, side: Side) -> tuple[Rate, ...]:
        """How tokens counted here become the model's, by kind of text. Threads may ask while the worker learns."""
        key = provider, model
        of_side = self._rates[side]
        known = of_side.get(key)
        if known is None:
            own, others = self._own.get(key), self._others.get(key)
            learnt = own + others if own and others else own or others
            if learnt is None:
                return assumed(model)
            known = of_side[key] = rates(model, learnt.of(side))
        return known

    def teach(self, provider: str, model: str, side: Side, bucket: int, counted: int, billed: int) -> None:
        """What was billed for a text of this kind that was counted here; `teaches_input` and `teaches_output` say of
        which calls this can be learnt."""
        if counted <= 0 or billed <= 0:
            return
        rate: Rate = self.rates(provider, model, side)[bucket]
        estimate = rate.of(counted)
        key = provider, model
        learnt = self._own.pop(key, None) or Learnt()
        self._own[key] = learnt
        if len(self._own) > files.MODELS:
            self._forget(next(iter(self._own)))
        kinds = learnt.of(side)
        error = abs(estimate - billed) / (estimate + SMALL)
        kinds[bucket] = kinds[bucket].after(counted, billed, error)
        if key in self._others:
            known = self._others[key].of(side)
            known[bucket] = known[bucket].faded()
        self._rates[side].pop(key, None)

    def save(self) -> None:
        """Keeps what this worker has learnt: all of it, or what was kept before. Raises OSError. May run in a thread
        while the worker learns, one at a time."""
        files.write(self._path, self._own.copy())

    def _forget(self, key: files.Key) -> None:
        del self._own[key]
        for of_side in self._rates.values():
            of_side.pop(key, None)

    def _read(self, path: Path) -> dict[files.Key, Learnt]:
        try:
            return files.read(path)
        except ValueError as error:
            aside = files.set_aside(path)
            place = f"it is set aside as `{aside.name}`" if aside else "it cannot be set aside"
            self.flaws.append(f"what was learnt of vocabularies cannot be read from `{path}`: {error}; {place}")
        except OSError as error:
            self.flaws.append(f"what was learnt of vocabularies cannot be read from `{path}`: {error.strerror}")
        return {}


def teaches_input(provider: str, usage: Usage) -> bool:
    """Whether a call's input says something about vocabularies, where it was counted in another one and is nothing but
    texts: not where the provider put in what it had found, or where cached tokens may be left out of the report."""
    if usage.kind != "provider" or usage.web_searches or usage.input_audio_tokens or usage.input_image_tokens:
        return False
    return provider in CLEAR_CACHES or not (usage.cached_tokens or usage.cache_write_tokens)


def teaches_output(usage: Usage) -> bool:
    """Whether a call's output does: not where the model thought, spoke or drew, which is billed but not seen."""
    return usage.kind == "provider" and not (
        usage.reasoning_tokens or usage.output_audio_tokens or usage.output_image_tokens or usage.web_searches
    )
