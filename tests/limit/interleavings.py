"""Runs actors that share a memory in every order, step by step, with any of them killed at any step.

An actor is a generator that does one access to the shared memory between two yields, as the compiled code does one
atomic instruction. States that were seen are not explored again; a state is the memory and where every actor stands.
"""

import copy
from collections.abc import Callable, Generator
from types import SimpleNamespace
from typing import Any

Actor = Generator[None, None, Any]
Actors = dict[str, Callable[[SimpleNamespace], Actor]]


class Broken(AssertionError):
    """A promise was broken; the text ends with the order of steps that did it."""


class World:
    """The memory and the actors after some steps."""

    def __init__(self, memory: SimpleNamespace, actors: Actors, schedule: tuple[str, ...]) -> None:
        self.memory = copy.deepcopy(memory)
        self.running: dict[str, Actor] = {}
        self.killed: list[str] = []
        self.returned: dict[str, Any] = {}
        self._actors = actors
        for name in actors:
            if not name.startswith("reaper"):
                self.start(name)
        for step in schedule:
            self.step(step)

    def start(self, name: str) -> None:
        self.running[name] = self._actors[name](self.memory)

    def step(self, name: str) -> None:
        victim = name.removeprefix("kill ")
        if victim == name:
            self._advance(name, self.running[name])
            return
        del self.running[victim]
        self.killed.append(victim)
        if "reaper" in self._actors:  # it is told of a death, also of its own
            self.start("reaper")

    def _advance(self, name: str, actor: Actor) -> None:
        try:
            next(actor)
        except StopIteration as stop:
            del self.running[name]
            self.returned[name] = stop.value

    def key(self) -> str:
        places = {name: places_of(actor) for name, actor in sorted(self.running.items())}
        return repr((vars(self.memory), places, self.killed, self.returned))


def places_of(actor: Any) -> list[object]:
    found: list[object] = []
    while actor is not None and getattr(actor, "gi_frame", None) is not None:
        frame = actor.gi_frame
        found.append((frame.f_lasti, {k: v for k, v in frame.f_locals.items() if not isinstance(v, SimpleNamespace)}))
        actor = actor.gi_yieldfrom
    return found


def explore(
    memory: SimpleNamespace,
    actors: Actors,
    check: Callable[[World], bool],
    *,
    mortal: tuple[str, ...] = (),
    deaths: int = 1,
) -> int:
    """Checks every state that can be reached; returns how many there are. `check` gets each world."""
    seen: set[str] = set()
    open_: list[tuple[str, ...]] = [()]
    while open_:
        schedule = open_.pop()
        world = World(memory, actors, schedule)
        key = world.key()
        if key in seen:
            continue
        seen.add(key)
        if not check(world):
            raise Broken(f"{vars(world.memory)} after {', '.join(schedule)}")
        steps = list(world.running)
        if len(world.killed) < deaths:
            steps += [f"kill {name}" for name in world.running if name in mortal]
        open_ += [(*schedule, step) for step in steps]
    return len(seen)
