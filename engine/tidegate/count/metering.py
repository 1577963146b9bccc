"""What one call is found to use: its prompt before it leaves, its answer as it passes, and what the provider says.

meters = Meters(registry, calibration, prices, limit)  what calls are metered with, under one snapshot of the settings
metering = meters.open(call, model, provider)       -> Metering, of this call; its prompt is counted
metering.prompt_tokens, .prompt_kind                what its prompt is expected to have
metering.stream(strip), .plain(body), .piece(body)  its answer
metering.expected(stated, n), .most(stated, n)      what it is expected to use, the most that its answers can have
metering.cost_of(prompt, output)                    what so much costs
metering.so_far(), .raw_for(tokens)                 its answer until now, and how far the meter goes until then
metering.counted(), .reported                       what was counted, what the provider says
metering.settled(counted, complete), .cost(usage)   what is charged, and what that costs
"""

from time import time
from typing import Any, Final

from tidegate.count._meter import Meter
from tidegate.count._tokens import Counter
from tidegate.count.answers import answer_tokens
from tidegate.count.calibration import Calibration, teaches_input, teaches_output
from tidegate.count.evidence import Rate
from tidegate.count.features import bucket_of
from tidegate.count.prices import Price, Prices, stated
from tidegate.count.prompts import COUNTED, LONG, Scheme, tallied
from tidegate.count.prompts_openai import most_prompts
from tidegate.count.registry import Kind, Registry
from tidegate.count.tally import Tally
from tidegate.count.usage_openai import ChatReport, chat_usage
from tidegate.count.usage_reports import REPORTS, reported, settled
from tidegate.errors import PriceUnknown
from tidegate.model import Call, Estimate, Usage
from tidegate.wire.dialect import Route

REMEMBERED: Final = 4096  # models; callers write their names, so that there is no end of them
MOST_PROMPTS: Final = 1 << 20  # of one call, for reckoning; none that is answered has so many
MOST_COST: Final = 1 << 62  # micro-cents, which nobody has: more counts as so much, which fits everywhere
STRENGTH: Final[dict[Kind, int]] = {"estimated": 0, "calibrated": 1, "exact": 2}
SIMULATED: Final = stated("input=1 output=4", "simulated")  # of models that only the simulated provider has


class Endpoint:
    """What an endpoint's calls are metered for."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.charged = name in REPORTS
        self.prompts = name in COUNTED
        self.chat = REPORTS.get(name) is ChatReport  # answers report as those of chat completions do
        self.lists = name == "completions"  # a prompt may be many, each of which is answered
        self.numbers = name == "embeddings"  # answers are numbers; what tables give as their limit are dimensions


UNMETERED: Final = Endpoint("")
ENDPOINTS: Final = {name: Endpoint(name) for name in (*REPORTS, *COUNTED)}


class Terms:
    """What a provider's model is metered by."""

    def __init__(self, model: str, provider: str, scheme: Scheme, price: Price | None) -> None:
        self.model = model
        self.provider = provider
        self.scheme = scheme
        self.price = price  # None: nobody knows it
        self.exact = scheme.kind == "exact"  # texts are counted in the model's own vocabulary


class Meters:
    """What calls are metered with. `limit` is the largest event of a stream."""

    def __init__(self, registry: Registry, calibration: Calibration, prices: Prices, limit: int) -> None:
        self.registry = registry
        self.prices = prices
        self.calibration = calibration
        self.limit = limit
        self._sellers = {each.id for each in prices.table.head.providers}
        self._terms: dict[str, dict[str, Terms]] = {}  # by provider, of which the settings name a few, and model

    def is_long(self, call: Call) -> bool:
        """Whether counting the prompt takes so long that it belongs in a thread."""
        return len(call.body) > LONG and call.route.endpoint in COUNTED

    def open(self, call: Call, model: str, provider: str, before: "Metering | None" = None) -> "Metering":
        """The metering of a call for a provider's model, beginning with its prompt; where that is long, called in a
        thread. `before` is the same call's metering for another model, which has gone nowhere: its prompt is not
        counted again where that makes no difference. Raises PriceUnknown for a model that must not pass because nobody
        knows what it costs.
        """
        metering = Metering.__new__(Metering)
        metering._begin(self, self.terms(model, provider), call, before)
        return metering

    def price(self, model: str, provider: str) -> Price:
        """What a provider's model costs; a provider that the table does not have sells what others sell."""
        try:
            return self.prices.of(model, provider if provider in self._sellers else "")
        except PriceUnknown:
            if provider != "simulated":
                raise
            return SIMULATED

    def terms(self, model: str, provider: str) -> Terms:
        """What a provider's model is metered by."""
        sold = self._terms.get(provider)
        if sold is None:
            sold = self._terms[provider] = {}
        known = sold.get(model)
        if known is None:
            if len(sold) >= REMEMBERED:
                sold.clear()
            try:
                price = self.price(model, provider)
            except PriceUnknown:
                price = None
            known = sold[model] = Terms(model, provider, Scheme(model, self.registry), price)
        return known

    @property
    def known(self) -> int:
        """How many models' terms are remembered, at most REMEMBERED of a provider's."""
        return sum(map(len, self._terms.values()))


class Metering:
    """The metering of one call. Where the endpoint is not charged there is nothing to count."""

    def _begin(self, meters: Meters, terms: Terms, call: Call, before: "Metering | None") -> None:
        route: Route = call.route
        endpoint = ENDPOINTS.get(route.endpoint, UNMETERED)
        self._meters = meters
        self._terms = terms
        self._endpoint = endpoint
        self._tally: Tally | None = None
        self._meter: Meter | None = None
        self._counter: Counter | None = None
        self._tokens = 0
        self._prompts = 1
        self._best = 1
        self._reported: Usage | None = None
        self._rates: tuple[Rate, ...] | None = None
        self._approximate = False  # the answer was not read as what it is
        self.price = None
        self.charged = endpoint.charged  # calls of this endpoint cost something
        self.prompt_tokens = 0  # as the provider is expected to charge them
        self.prompt_kind: Kind = "exact"
        if endpoint.charged:
            self.price = terms.price or meters.price(terms.model, terms.provider)
        if endpoint.prompts and call.fields is not None:
            tally = self._shared(before)
            if tally is None:
                tally = tallied(endpoint.name, call.fields, terms.scheme)
            self._tally = tally
            self._expect(tally)
            if endpoint.lists:
                self._answered(tally, call.fields)

    def _shared(self, before: "Metering | None") -> Tally | None:
        """The prompt as it was counted for another model, where it has as many tokens for this one."""
        if before is None or before._tally is None or before._tally.images:
            return None
        return before._tally if self._terms.scheme.counts_as(before._terms.scheme) else None

    def _expect(self, tally: Tally) -> None:
        """The tokens of the prompt are known."""
        terms = self._terms
        kind = terms.scheme.kind_of(self._endpoint.name, tally)
        if kind == "exact":
            self.prompt_tokens = tally.counted + tally.framing + tally.media
            return
        bucket = bucket_of(tally.counted, tally.characters, tally.size, tally.foreign)
        rate: Rate = self._meters.calibration.rates(terms.provider, terms.model, "prompt")[bucket]
        guessed = tally.media or tally.others
        self.prompt_tokens = rate.of(tally.counted + tally.framing) + tally.media
        self.prompt_kind = "estimated" if guessed else rate.kind

    def _answered(self, tally: Tally, fields: Any) -> None:
        """How many answers there will be, beside what the caller states as `n`."""
        self._prompts = min(tally.prompts or most_prompts(fields.prompt), MOST_PROMPTS)
        self._best = tally.best

    def expected(self, stated: int | None, n: int) -> Estimate:
        """What the call is expected to use; `stated` and `n` as in `most`."""
        output = self.most(stated, n)
        cost = None if output is None else self.cost_of(self.prompt_tokens, output)
        return Estimate(self.prompt_tokens, self.prompt_kind, output, cost)

    def most(self, stated: int | None, n: int) -> int | None:
        """The most tokens that `n` answers can have, of which the caller stated a limit for each, or the model has one.
        None where nobody knows. What was read of the prompt may mean more answers: of many prompts each has its own.
        """
        price = self.price
        if price is None or self._endpoint.numbers:
            return 0
        each = price.writes
        if stated is not None and (each < 0 or stated < each):
            each = stated
        answers = (n if n > self._best else self._best) * self._prompts
        return None if each < 0 else each * answers

    def cost_of(self, prompt_tokens: int, output_tokens: int) -> int:
        """What so many tokens cost at the standard rates, in micro-cents; 0 where the endpoint is not charged."""
        price = self.price
        if price is None:
            return 0
        cost: int = price.standard(prompt_tokens, output_tokens, 0.0 if price.steady else time())
        return cost if cost < MOST_COST else MOST_COST

    def so_far(self) -> int:
        """The tokens of the answer until now, as the provider is expected to charge them."""
        tokens = self.tokens
        rates = self._output_rates()
        return tokens if rates is None or not tokens else rates[self._bucket()].of(tokens)

    def raw_for(self, tokens: int) -> int:
        """How far `meter.tokens` may grow before `so_far()` reaches so many: at no lower number does it, whatever kind
        of text comes. With an exact vocabulary it does there. With another it may be later, as the kind of the text
        decides; from there on who must know asks `so_far()`.
        """
        rates = self._output_rates()
        if rates is None:
            return max(tokens, 0)
        return min(rate.back(tokens) for rate in rates)

    def _output_rates(self) -> tuple[Rate, ...] | None:
        """How tokens counted here become those of the model's answers, the same for all of one call; None for an exact
        vocabulary.
        """
        terms = self._terms
        if terms.exact:
            return None
        if self._rates is None:
            self._rates = self._meters.calibration.rates(terms.provider, terms.model, "output")
        return self._rates

    def stream(self, strip: bool) -> Meter:
        """Reads a stream; `strip` takes the usage out that the caller did not ask for."""
        self._meter = Meter(
            self._endpoint.name, self._terms.scheme.vocabulary, limit=self._meters.limit, strip_usage=strip
        )
        return self._meter

    def plain(self, body: bytes) -> None:
        """Reads a whole answer."""
        endpoint = self._endpoint
        if not endpoint.charged:
            return
        self._reported = chat_usage(body) if endpoint.chat else reported(endpoint.name, body)
        if self._reported is None:
            vocabulary = self._terms.scheme.vocabulary
            tokens = answer_tokens(endpoint.name, body, vocabulary)
            self._approximate = tokens is None
            self._tokens = vocabulary.count(body) if tokens is None else tokens

    def piece(self, body: bytes) -> None:
        """Reads a piece of an answer that nobody has whole. It is counted as it is written, which is more than said."""
        if not self._endpoint.charged:
            return
        if self._counter is None:
            self._counter = Counter(self._terms.scheme.vocabulary)
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
        return self.report()

    def report(self) -> Usage | None:
        """The same for compiled callers, who are told sooner."""
        return self._reported if self._meter is None else self._meter.usage

    def counted(self) -> Usage | None:
        """What was counted, by the vocabulary of the model or what has been learnt about it; None for a whole answer
        that the provider has reported on, which is not counted too.
        """
        if self._reported is not None:
            return None
        kind, tokens = self._terms.scheme.kind, self.tokens
        rates = self._output_rates()
        if rates is not None and tokens:
            rate: Rate = rates[self._bucket()]
            tokens, kind = rate.of(tokens), rate.kind
        if self._approximate:
            kind = "estimated"
        elif STRENGTH[self.prompt_kind] < STRENGTH[kind]:
            kind = self.prompt_kind
        return Usage(self.prompt_tokens, tokens, kind)

    def settled(self, counted: Usage | None, complete: bool) -> Usage:
        """What the call is charged for."""
        if complete and not (self._terms.exact and self.prompt_kind == "exact"):
            self.learn()
        told = self.report()
        if counted is None:
            assert told is not None
            return told
        return settled(told, counted, complete)

    def cost(self, usage: Usage) -> int:
        """What that costs, in micro-cents."""
        price = self.price
        if price is None:
            return 0
        cost: int = price.cost(usage, 0.0 if price.steady and not usage.service else time())
        return cost if cost < MOST_COST else MOST_COST

    def learn(self) -> None:
        """A complete call's report says something about the model's vocabulary, where that is not public."""
        usage, tally, terms, calibration = self.report(), self._tally, self._terms, self._meters.calibration
        if usage is None:
            return
        if tally is not None and self.prompt_kind != "exact" and not (tally.media or tally.others):
            if teaches_input(terms.provider, usage):
                bucket = bucket_of(tally.counted, tally.characters, tally.size, tally.foreign)
                texts, billed = tally.counted + tally.framing, usage.input_tokens
                calibration.teach(terms.provider, terms.model, "prompt", bucket, texts, billed)
        if not terms.exact and self._meter is not None and teaches_output(usage):
            tokens, billed = self._meter.tokens, usage.output_tokens
            calibration.teach(terms.provider, terms.model, "output", self._bucket(), tokens, billed)

    def _bucket(self) -> int:
        """Which kind of text the answer is."""
        meter = self._meter
        return 0 if meter is None else bucket_of(meter.tokens, meter.characters, meter.size, meter.foreign)
