"""What the provider saw and what it billed, for tests that compare a gateway's books with the provider's own.

The rules: a call is billed its prompt when the first byte of its answer goes out, and its output as it goes out (a
plain answer whole, a stream event by event), so a client that leaves pays for what was sent and no more. Refusals
cost nothing. Every id of one call ends in the same `KEY` characters, by which its bill is found; a call that is
repeated byte for byte has the same ids and adds to the same bill. `streams_started` = ended + abandoned + broken +
those still running. The newest `BILLS` bills are kept; the totals count for ever.
"""

from msgspec import Struct

KEY = 24  # hexadecimal characters at the end of every id
BILLS = 10_000  # a few megabytes, and more calls than a test makes


class Bill(Struct):
    """The tokens of one call, or of all calls that were byte for byte the same."""

    calls: int = 0
    prompt: int = 0
    output: int = 0


class Ledger:
    """Counters of one provider; they only grow."""

    def __init__(self) -> None:
        self.calls = 0  # requests that were read to their end, refused ones included
        self.refused = 0  # answered with a status of 400 or more
        self.streams_started = 0
        self.streams_ended = 0  # every event went out
        self.streams_abandoned = 0  # the client left first
        self.streams_broken = 0  # a fault on request ended it
        self.prompt_tokens = 0
        self.output_tokens = 0
        self.bills: dict[str, Bill] = {}

    def open(self, key: str, prompt: int) -> Bill:
        """Bill a call its prompt; output is added to what this returns by `charge`."""
        bill = self.bills.pop(key, None) or Bill()
        if len(self.bills) >= BILLS:
            del self.bills[next(iter(self.bills))]
        self.bills[key] = bill
        bill.calls += 1
        bill.prompt += prompt
        self.prompt_tokens += prompt
        return bill

    def charge(self, bill: Bill, tokens: int) -> None:
        """Add output that went out."""
        bill.output += tokens
        self.output_tokens += tokens

    def billed(self, call_id: str) -> Bill | None:
        """The bill of the call that has this id: the one in its body (`chatcmpl-...`) or in its request-id header."""
        return self.bills.get(call_id[-KEY:])
