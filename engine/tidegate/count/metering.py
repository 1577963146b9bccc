"""What one call is found to use: its prompt before it leaves, its answer as it passes, and what the provider says.

meters = Meters(registry, calibration, prices, limit)  what calls are metered with, under one snapshot of the settings
metering = meters.open(call, model, provider)       -> Metering, of this call; its prompt is counted
metering.estimate                                   what it is expected to use
metering.stream(strip), .plain(body), .piece(body)  its answer
metering.counted(), .reported                       what was counted, what the provider says
metering.settled(counted, complete), .cost(usage)   what is charged, and what that costs
"""

import time
from typing import Final

from tidegate.count._meter import Meter
from tidegate.count._tokens import Counter, Vocabulary
from tidegate.count.answers import answer_tokens
from tidegate.count.calibration import Calibration, teaches_output, teaches_prompt
from tidegate.count.features import Features, features
from tidegate.count.prices import Price, Prices, stated
from tidegate.count.prompts import COUNTED, LONG, PromptCount, count_prompt
from tidegate.count.registry import Kind, Registry
from tidegate.count.usage_reports import REPORTS, report, settled
from tidegate.errors import PriceUnknown
from tidegate.model import Call, Estimate, Usage
from tidegate.wire.dialect import Governed

REMEMBERED: Final = 4096  # models; callers write their names, so that there is no end of them
WEAKEST: Final[tuple[Kind, ...]] = ("estimated", "calibrated", "exact")
NO_PROMPT: Final = Estimate(0, "exact")
SIMULATED: Final = stated("input=1 output=4", "simulated")  # of models that only the simulated provider has


class Meters:
    """What calls are metered with. `limit` is the largest event of a stream."""

    def __init__(self, registry: Registry, calibration: Calibration, prices: Prices, limit: int) -> None:
        self.registry = registry
        self.prices = prices
        self.calibration = calibration
        self.limit = limit
        self._sellers = {each.id for each in prices.table.head.providers}
        self._known: dict[str, tuple[Vocabulary, Kind]] = {}

    def is_long(self, call: Call) -> bool:
        """Whether counting the prompt takes so long that it belongs in a thread."""
        return len(call.body) > LONG and call.route.endpoint in COUNTED

    def open(self, call: Call, model: str, provider: str) -> "Metering":
        """The metering of a call for a provider's model, beginning with its prompt; where that is long, called in a
        thread. Raises PriceUnknown for a model that must not pass because nobody knows what it costs.
        """
        return Metering(self, call, model, provider)

    def price(self, model: str, provider: str) -> Price:
        """What a provider's model costs; a provider that the table does not have sells what others sell."""
        try:
            return self.prices.of(model, provider if provider in self._sellers else "")
        except PriceUnknown:
            if provider != "simulated":
                raise
            return SIMULATED

    def vocabulary(self, model: str) -> tuple[Vocabulary, Kind]:
        """What the answers of a model are counted in, and what such a count is."""
        known = self._known.get(model)
        if known is None:
            if len(self._known) >= REMEMBERED:
                self._known.clear()
            encoding = self.registry.encoding(model)
            known = self._known[model] = self.registry.vocabulary(encoding), encoding.kind
        return known

    @property
    def known(self) -> int:
        """How many models' vocabularies are remembered, at most REMEMBERED."""
        return len(self._known)


class Metering:
    """The metering of one call. Where the endpoint is not charged there is nothing to count."""

    def __init__(self, meters: Meters, call: Call, model: str, provider: str) -> None:
        self._meters = meters
        self._provider = provider
        self._endpoint = call.route.endpoint
        self._model = model
        self._prompt: PromptCount | None = None
        self._meter: Meter | None = None
        self._counter: Counter | None = None
        self._tokens = 0
        self._reported: Usage | None = None
        self._approximate = False  # the answer was not read as what it is
        self.estimate = NO_PROMPT
        self.price = meters.price(model, provider) if self._endpoint in REPORTS else None
        if call.fields is not None and self._endpoint in COUNTED:
            self.estimate = self._expected(call.fields)

    def _expected(self, fields: Governed) -> Estimate:
        """The tokens of the prompt, as the provider is expected to charge them."""
        prompt = self._prompt = count_prompt(self._endpoint, fields, self._meters.registry)
        if prompt.kind == "exact":
            return Estimate(prompt.tokens, "exact")
        calibrated = self._meters.calibration.prompt(self._provider, self._model, prompt)
        return Estimate(calibrated.tokens, calibrated.kind)

    def stream(self, strip: bool) -> Meter:
        """Reads a stream; `strip` takes the usage out that the caller did not ask for."""
        vocabulary, _ = self._meters.vocabulary(self._model)
        self._meter = Meter(self._endpoint, vocabulary, limit=self._meters.limit, strip_usage=strip)
        return self._meter

    def plain(self, body: bytes) -> None:
        """Reads a whole answer."""
        told = report(self._endpoint)
        if told is None:
            return
        told.plain(body)
        self._reported = told.usage
        if self._reported is None:
            vocabulary, _ = self._meters.vocabulary(self._model)
            tokens = answer_tokens(self._endpoint, body, vocabulary)
            self._approximate = tokens is None
            self._tokens = vocabulary.count(body) if tokens is None else tokens

    def piece(self, body: bytes) -> None:
        """Reads a piece of an answer that nobody has whole. It is counted as it is written, which is more than said."""
        if self._endpoint not in REPORTS:
            return
        if self._counter is None:
            vocabulary, _ = self._meters.vocabulary(self._model)
            self._counter = Counter(vocabulary)
            self._approximate = True
        self._counter.feed(body)

    @property
    def tokens(self) -> int:
        """The tokens of the answer so far."""
        if self._meter is not None:
            return self._meter.tokens
        return self._tokens if self._counter is None else self._counter.count

    @property
    def reported(self) -> Usage | None:
        """What the provider has reported so far."""
        return self._reported if self._meter is None else self._meter.usage

    def counted(self) -> Usage | None:
        """What was counted, by the vocabulary of the model or what has been learnt about it; None for a whole answer
        that the provider has reported on, which is not counted too.
        """
        if self._reported is not None:
            return None
        _, kind = self._meters.vocabulary(self._model)
        tokens = self.tokens
        if kind != "exact" and tokens:
            learnt = self._meters.calibration.estimate(self._provider, self._model, tokens, self._features())
            tokens, kind = learnt.tokens, learnt.kind
        weaker = min(self.estimate.prompt_kind, "estimated" if self._approximate else kind, key=WEAKEST.index)
        return Usage(input_tokens=self.estimate.prompt_tokens, output_tokens=tokens, kind=weaker)

    @property
    def charged(self) -> bool:
        """Whether calls of this endpoint cost something."""
        return self.price is not None

    def settled(self, counted: Usage | None, complete: bool) -> Usage:
        """What the call is charged for."""
        if complete:
            self.learn()
        reported = self.reported
        if counted is None:
            assert reported is not None
            return reported
        return settled(reported, counted, complete)

    def cost(self, usage: Usage) -> int:
        """What that costs, in micro-cents."""
        return self.price.cost(usage, time.time()) if self.price is not None else 0

    def learn(self) -> None:
        """A complete call's report says something about the model's vocabulary, where that is not public."""
        usage, prompt, calibration = self.reported, self._prompt, self._meters.calibration
        if usage is None:
            return
        if prompt is not None and teaches_prompt(self._provider, prompt, usage):
            texts = prompt.tokens - prompt.media
            calibration.learn(self._provider, self._model, prompt.features, texts, usage.input_tokens - prompt.media)
        _, kind = self._meters.vocabulary(self._model)
        if kind != "exact" and self._meter is not None and teaches_output(usage):
            features = self._features()
            calibration.learn(self._provider, self._model, features, self._meter.tokens, usage.output_tokens)

    def _features(self) -> Features:
        meter = self._meter
        if meter is None:
            return Features("output")
        return features("output", meter.tokens, meter.characters, meter.size, meter.foreign)
