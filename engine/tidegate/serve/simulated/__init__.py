"""The simulated provider: OpenAI's and Anthropic's HTTP interfaces on one port, with faults on request.

It is an oracle: it shares no code with the gateway, its text and prices follow rules that are written down, and its
ledger says what it billed. From the wire inwards:

    server      listens
    connection  HTTP, one script after another, flow control
    routes      a request becomes a script
    faults      what a request asks to go wrong
    script      an answer becomes steps; each fault is a change to them
    chat, responses, anthropic, others   an answer in each dialect; refusals: an error in each
    text, tools the words, the tool calls, and the rule that says what they cost
    ledger      what was seen and billed
"""

from .ledger import Bill, Ledger
from .server import Provider, run

__all__ = ["Bill", "Ledger", "Provider", "run"]
