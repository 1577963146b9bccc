"""The policy in force: files that may change while calls are decided.

Another bundle takes the place of the last one in a single step, and only when it could be compiled and has a package
`tidegate.admission`; until then the last good one stays in force, and what is wrong with the new one is told. Where
there never was a good one, every call is blocked. The shadow is replaced in the same way, apart from the enforced
policy: a shadow that cannot be compiled is told of and left out. It may stand alone, and then every call passes.
"""

from collections.abc import Callable, Iterator
from pathlib import Path
from threading import Event, Lock, Thread
from typing import Any

from msgspec.structs import replace

from tidegate.decide.bundle import load
from tidegate.decide.cache import Cache
from tidegate.decide.contract import EVERYTHING, refusal
from tidegate.decide.input import Phase
from tidegate.decide.policy import Policy
from tidegate.decide.reading import Limits, no_limits
from tidegate.decide.ruling import Ruling
from tidegate.model import Call, Caller, Decision, Estimate
from tidegate.rego.errors import PolicyRefused, Problem
from tidegate.rego.evaluation import BUDGET

LOOK = 1.0  # seconds: how often it is looked whether a path leads elsewhere now, which no watched folder tells


class Nothing(Ruling):
    """What is asked where no policy is in force; a shadow may stand alone."""

    def __init__(self, decision: Decision, shadow: Policy | None) -> None:
        super().__init__()
        self._decision = decision
        self.shadow = shadow
        if shadow is not None:
            self.wanted = shadow.phases

    def admit(
        self,
        call: Call,
        caller: Caller,
        estimate: Estimate,
        ns: int,
        integration: str | None = None,
        limits: Limits = no_limits,
    ) -> Decision:
        """The same about every call."""
        if self.shadow is None:
            return self._decision
        return replace(self._decision, shadow=self.shadow.admit(call, caller, estimate, ns, integration, limits))

    def decide(self, told: object) -> Decision:
        """The same about every call."""
        return self._decision if self.shadow is None else replace(self._decision, shadow=self.shadow.decide(told))

    def judge(self, phase: Phase, told: dict[str, Any]) -> Decision:
        """Nobody asks about an answer where no policy has said that it wants to."""
        return self._decision


class Live:
    """A policy that follows its files."""

    def __init__(
        self,
        path: Path | None,
        shadow: Path | None = None,
        *,
        carries_out: frozenset[str] = EVERYTHING,
        budget: int = BUDGET,
        cache: Cache | None = None,
        told: Callable[[str], None] = lambda message: None,
    ) -> None:
        """Reads the files. `told` hears of each policy that comes into force, and of each that does not."""
        self._path = path
        self._shadow_path = shadow
        self._carries_out = carries_out
        self._budget = budget
        self._cache = cache
        self._told = told
        self._in_force: tuple[Policy | None, Policy | None] = None, None  # they change together
        self.asked: Policy | Nothing = Nothing(self._without_policy(), None)  # what decides at this moment
        self._refused: dict[Path, str] = {}
        self._reloading = Lock()
        self._stop = Event()
        self._watcher: Thread | None = None
        self.reload()

    @property
    def policy(self) -> Policy | None:
        """What decides at this moment, its shadow beside it."""
        return self._in_force[0]

    @property
    def digests(self) -> tuple[str, str]:
        """Of the policy in force and of the shadow; empty where there is none."""
        policy, shadow = self._in_force
        return policy.digest if policy is not None else "", shadow.digest if shadow is not None else ""

    @property
    def problems(self) -> list[str]:
        """Why what the paths hold now is not in force."""
        return list(self._refused.values())

    def decide(self, told: object) -> Decision:
        """As Policy.decide, by what is in force at this moment."""
        return self.asked.decide(told)

    def _without_policy(self) -> Decision:
        """What holds where none was ever in force: a shadow may stand alone."""
        return Decision(action="allow") if self._path is None else refusal("no policy could be loaded")

    def reload(self) -> bool:
        """Looks at the files again; whether another policy or another shadow is in force now."""
        with self._reloading:
            policy, shadow = self._in_force
            newest = self._newest(self._path, policy, "policy")
            beside = self._newest(self._shadow_path, shadow, "shadow policy")
            if newest is policy and beside is shadow:
                return False
            policy = newest and newest.beside(beside)
            self._in_force = policy, beside
            self.asked = policy or Nothing(self._without_policy(), beside)
            return True

    def _newest(self, path: Path | None, last: Policy | None, what: str) -> Policy | None:
        """The policy of a path, or else the last good one of it. The same problem is told once."""
        if path is None:
            return None
        try:
            bundle = load(path)
            if last is not None and bundle.digest == last.digest:
                self._refused.pop(path, None)
                return last
            policy = Policy(bundle, carries_out=self._carries_out, budget=self._budget, cache=self._cache)
            if "admission" not in policy.phases:
                problem = "there is no package `tidegate.admission`, so every call would be blocked"
                raise PolicyRefused([Problem("tidegate_contract_error", f"{path}: {problem}")])
        except PolicyRefused as error:
            return self._kept(path, last, what, str(error))
        except Exception as error:  # a fault of ours must not take the last good policy away
            return self._kept(path, last, what, f"{path}: {type(error).__name__}")
        self._refused.pop(path, None)
        self._told(f"{what} {path} is in force: {policy.digest}")
        return policy

    def _kept(self, path: Path, last: Policy | None, what: str, reason: str) -> Policy | None:
        if self._refused.get(path) != reason:
            self._refused[path] = reason
            left = f"{last.digest} stays in force" if last is not None else "there is none in force"
            self._told(f"{what} {path} was refused, {left}:\n{reason}")
        return last

    # watching

    def follow(self, settle: float) -> None:
        """Reloads by itself from now on, as soon as the files have not changed for `settle` seconds."""
        self._watcher = Thread(target=self._watch, args=(settle,), name="policies", daemon=True)
        self._watcher.start()

    def close(self) -> None:
        """Follows no longer."""
        self._stop.set()
        if self._watcher is not None:
            self._watcher.join()

    def _watch(self, settle: float) -> None:
        paths = [path for path in (self._path, self._shadow_path) if path is not None]
        while not self._stop.is_set():
            places = list(map(_place, paths))
            there = [path for path, place in zip(paths, places, strict=True) if place is not None]
            try:
                for changed in self._changes(there, settle):
                    moved = list(map(_place, paths)) != places
                    if changed or moved:
                        self.reload()
                    if moved:
                        break
            except OSError:  # a folder went away in between
                self._stop.wait(LOOK)

    def _changes(self, there: list[Path], settle: float) -> Iterator[bool]:
        """True at first, for what changed before, and once files changed and settled; False every `LOOK` seconds."""
        if not there:
            self._stop.wait(LOOK)
            yield False
            return
        from watchfiles import watch  # in the thread that follows: a start does not wait for it

        step = max(1, int(settle * 1000))
        timeout = int(LOOK * 1000)
        unseen = True
        for changes in watch(
            *there,
            step=step,
            debounce=max(step, timeout),
            rust_timeout=timeout,
            yield_on_timeout=True,
            stop_event=self._stop,
            raise_interrupt=False,
        ):
            yield unseen or bool(changes)
            unseen = False


def _place(path: Path) -> tuple[int, int] | None:
    """Where a path leads: a link that is put in the place of another leads elsewhere."""
    try:
        status = path.stat()
    except OSError:
        return None
    return status.st_dev, status.st_ino
