"""The supervisor: owns what must outlive a worker, and does nothing that could make it fall.

It holds the data directory, the listening sockets and the admin port; starts one worker for each slot by fork (after
all imports, so a new worker serves within tens of milliseconds and shares their memory); replaces the dead and kills
the hung. No event loop, no threads: a plain selector, because it forks.

Signals: HUP reloads the settings, TERM and INT drain and exit 0, a second one of them ends at once.
"""

import contextlib
import fcntl
import gc
import os
import resource
import selectors
import signal
import socket
import sys
import time
from collections.abc import Callable
from pathlib import Path

import msgspec

from tidegate import __version__
from tidegate.configuration import address, exposure
from tidegate.count.prices import Prices
from tidegate.count.registry import Registry
from tidegate.errors import StartError, TidegateError
from tidegate.identify.held import Keys
from tidegate.serve import limits
from tidegate.serve.admin import Admin, Answer
from tidegate.serve.aside import Aside
from tidegate.serve.board import Board
from tidegate.serve.channel import Channel, Message, pair
from tidegate.serve.ledger import ledger_of, let_go, write
from tidegate.serve.listen import open_listeners, open_tcp
from tidegate.serve.metrics import Metrics, newest
from tidegate.serve.policies import check_policies
from tidegate.serve.tables import prices_of, registry_of
from tidegate.serve.worker import Inherited, identity, work
from tidegate.settings import Limits, Serve, Settings

WATCH = 0.1  # seconds between looks at the heartbeats
SHORT_LIFE = 0.25  # a worker that dies sooner after its start is part of a crash loop
BACKOFF_FIRST = 0.05
BACKOFF_MOST = 5.0
KILL_AFTER = 3.0  # seconds beyond the drain until workers that do not end are killed
LEDGER = 10.0  # seconds that the ledger is waited for at the end
ECHO = 10.0  # seconds in which the same words of another worker are not said again


class Slot:
    """One process's place: its sockets stay, its processes come and go. `number` is None for the sequencer."""

    def __init__(self, number: int | None, sockets: list[socket.socket]) -> None:
        self.number = number
        self.name = "the sequencer" if number is None else f"worker {number}"
        self.sockets = sockets
        self.pid = 0
        self.pidfd = -1
        self.channel: Channel | None = None
        self.ready = False
        self.started = 0.0
        self.failures = 0
        self.start_at = 0.0
        self.left = False  # what its last process held of limits is still to be settled


def run(settings: Settings, reload: Callable[[], Settings]) -> None:
    """Serves until a signal ends it."""
    most = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))  # shells and service managers begin with 1024
    Supervisor(settings, reload).run()


class Supervisor:
    """The parent of all processes."""

    def __init__(self, settings: Settings, reload: Callable[[], Settings]) -> None:
        self._settings = settings
        self._reload = reload
        self._selector = selectors.DefaultSelector()
        self._sequencer = Slot(None, [])
        self._slots: list[Slot] = []
        self._wake = -1
        self._draining = 0.0  # when the drain must be over; 0 while serving
        self._writing = False  # the ledger can be written: workers need it from their first call on
        self._announced = False
        self._said: dict[str, float] = {}  # by worker's words: when they were passed on
        self._checking: Aside | None = None  # the policies of settings that are to be in force
        self._outdated = False  # the settings were to be read again meanwhile

    def run(self) -> None:
        """From the lock on the data directory to the last worker's end."""
        serve = self._settings.serve
        self._lock = lock(Path(self._settings.data))
        slots = serve.workers or len(os.sched_getaffinity(0))
        self._board = Board(slots)
        self._metrics = Metrics(slots)
        identity(self._settings)  # a worker would fail over it again and again
        checking = self._check(self._settings)  # meanwhile this process goes on
        self._keys = Keys(Path(self._settings.data), say)
        self._ledger = ledger_of(self._settings)
        self._lives = limits.Lives(self._ledger, say)
        self._limits = limits.open_limits(self._settings, self._ledger, slots, say)
        self._metrics.limits = self._limits.counters
        self._upkeep = limits.Upkeep(self._limits, say)
        try:
            self._start(self._sequencer)  # it gets ready while this process loads what the workers share
            try:
                self._registry = registry_of(self._settings)
                self._prices = prices_of(self._settings)
                checking.wait()
            except TidegateError:
                self._draining = time.monotonic() + LEDGER
                self._end_sequencer()
                raise
            self._serve(slots)
        finally:
            limits.let_go(self._limits)
            let_go(self._ledger)

    def _serve(self, slots: int) -> None:
        serve = self._settings.serve
        sockets = open_listeners(serve.listen, slots)
        self._slots = [Slot(number, each) for number, each in enumerate(sockets)]
        place = address(serve.admin)
        assert not isinstance(place, str)
        answers: dict[bytes, Answer] = {
            b"/healthz": self._healthz,
            b"/readyz": self._readyz,
            b"/version": self._version,
        }
        answers[b"/metrics"] = self._say_metrics
        self._admin = Admin(open_tcp(place, serve.admin, reuse_port=False), self._selector, answers)
        self._listen_for_signals()
        gc.collect()
        gc.freeze()
        gc.enable()
        while not self._draining or any(slot.pid for slot in self._slots):
            self._turn()
        self._end_sequencer()
        self._admin.close()
        for text in serve.listen:
            if isinstance(path := address(text), str):
                Path(path).unlink(missing_ok=True)

    def _turn(self) -> None:
        now = time.monotonic()
        workers = self._slots if self._writing and not self._draining else []
        for slot in (self._sequencer, *workers):
            if not slot.pid and now >= slot.start_at:
                self._start(slot)
        for key, _ in self._selector.select(WATCH):
            key.data()
        if time.monotonic() - now > self._settings.serve.hang / 2:
            for number in range(len(self._slots)):  # we stood still ourselves: silence proves nothing
                self._board.beat(number)
        for slot in self._slots:
            assert slot.number is not None
            if slot.pid and self._board.silent_for(slot.number) > self._settings.serve.hang:
                say(f"worker {slot.number} (pid {slot.pid}) hangs: killed")
                self._board.beat(slot.number)
                os.kill(slot.pid, signal.SIGKILL)
        self._admin.expire()
        self._upkeep.check(now)
        if self._draining and time.monotonic() > self._draining:
            self._kill_all()

    # workers

    def _start(self, slot: Slot) -> None:
        if slot.left and slot.number is not None:
            slot.left = not self._lives.end(self._limits, slot.number)
            if slot.left:
                slot.start_at = time.monotonic() + BACKOFF_MOST
                return
        try:
            epoch = 0 if slot.number is None else self._ledger.new_epoch()
        except OSError as error:
            self._put_off(slot, f"its journal has no epoch: {(error.strerror or '').lower()}")
            return
        try:
            ours, theirs = pair()
        except OSError as error:
            self._put_off(slot, (error.strerror or "").lower())
            return
        if slot.number is not None:
            self._board.beat(slot.number)
        self._keys.check(time.monotonic())
        try:
            pid = os.fork()
        except OSError as error:
            ours.close()
            theirs.close()
            self._put_off(slot, (error.strerror or "").lower())
            return
        if pid == 0:
            self._become(slot, epoch, ours, theirs)
        theirs.close()
        try:
            pidfd = os.pidfd_open(pid)
        except OSError as error:
            os.kill(pid, signal.SIGKILL)
            os.waitpid(pid, 0)
            ours.close()
            slot.left = slot.number is not None
            self._put_off(slot, (error.strerror or "").lower())
            return
        slot.pid, slot.pidfd, slot.channel = pid, pidfd, ours
        slot.started, slot.ready = time.monotonic(), False
        self._selector.register(slot.pidfd, selectors.EVENT_READ, lambda: self._ended(slot))
        self._selector.register(ours, selectors.EVENT_READ, lambda: self._hear(slot))

    def _put_off(self, slot: Slot, why: str) -> None:
        say(f"{slot.name} cannot start: {why}")
        slot.failures += 1
        slot.start_at = time.monotonic() + min(BACKOFF_FIRST * 2**slot.failures, BACKOFF_MOST)

    def _become(self, slot: Slot, epoch: int, ours: Channel, theirs: Channel) -> None:
        """In the child: lets go of what is the supervisor's, works, and never returns."""
        code = 70
        gc.enable()
        try:
            short = "tidegate-ledger" if slot.number is None else f"tidegate-w{slot.number}"
            Path("/proc/self/comm").write_text(short)  # what `ps` and `top` show
            signal.set_wakeup_fd(-1)
            if self._wake >= 0:
                os.close(self._wake)
            for each in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
                signal.signal(each, signal.SIG_IGN)
            self._let_go()
            ours.close()
            for other in self._slots:
                if other is not slot:
                    for listener in set(other.sockets) - set(slot.sockets):
                        listener.close()
            if slot.number is None:
                write(self._ledger, theirs, self._metrics.taken.put)
            else:
                number, board = slot.number, self._board
                inherited = Inherited(
                    self._settings, self._registry, self._prices, self._keys, self._ledger, self._limits
                )
                block = self._metrics.blocks[number]
                work(number, epoch, inherited, slot.sockets, theirs, lambda: board.beat(number), block)
            code = 0
        except TidegateError as error:
            say(f"{slot.name}: {error.message}")
        except BaseException as error:
            say(f"{slot.name} failed: {type(error).__name__}: {error}; this is a bug")
        finally:
            os._exit(code)

    def _let_go(self) -> None:
        """Closes what the supervisor waits for: the admin port and its clients, channels, pidfds, the signal pipe."""
        for key in list(self._selector.get_map().values()):
            if isinstance(key.fileobj, int):
                os.close(key.fileobj)
            elif isinstance(key.fileobj, socket.socket | Channel):
                key.fileobj.close()
        self._selector.close()

    def _hear(self, slot: Slot) -> None:
        assert slot.channel is not None
        message = slot.channel.receive()
        if message is None:
            self._selector.unregister(slot.channel)  # its end comes through the pidfd
            return
        if message.kind == "say":
            self._pass_on(message.words)
            return
        slot.ready = True
        if slot is self._sequencer:
            self._writing = True
        if not self._announced and not self._draining and all(each.ready for each in self._slots):
            self._announced = True
            announce(self._settings, self._slots)
            if not self._settings.identify.anonymous and not self._keys.keys:
                say("there is no virtual key yet, and every call needs one: `tidegate keys create` makes it")

    def _pass_on(self, words: str) -> None:
        """Says what a worker has to say; all of them see the same files, so it is said once."""
        now = time.monotonic()
        self._said = {text: at for text, at in self._said.items() if now - at < ECHO}
        if self._said.setdefault(words, now) == now:
            say(words)

    def _ended(self, slot: Slot) -> None:
        _, status = os.waitpid(slot.pid, 0)
        self._selector.unregister(slot.pidfd)
        os.close(slot.pidfd)
        if slot.channel is not None:
            try:
                self._selector.unregister(slot.channel)
            except KeyError:
                pass
            slot.channel.close()
        lived = time.monotonic() - slot.started
        code = os.waitstatus_to_exitcode(status)
        pid, slot.pid, slot.channel, was_ready = slot.pid, 0, None, slot.ready
        slot.ready = False
        if slot.number is not None:
            slot.left = not self._lives.end(self._limits, slot.number)
        if self._draining:
            return
        self._metrics.ended(slot.number)
        slot.failures = 0 if was_ready and lived > SHORT_LIFE else slot.failures + 1
        delay = min(BACKOFF_FIRST * 2**slot.failures, BACKOFF_MOST) if slot.failures else 0.0
        slot.start_at = time.monotonic() + delay
        why = f"signal {-code}" if code < 0 else f"exit code {code}"
        say(f"{slot.name} (pid {pid}) ended by {why}; replaced" + (f" in {delay:.2f} s" if delay else ""))

    # signals

    def _listen_for_signals(self) -> None:
        read, write = os.pipe()
        os.set_blocking(write, False)
        self._wake = write
        signal.set_wakeup_fd(write, warn_on_full_buffer=False)
        for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
            signal.signal(number, lambda *_: None)
        self._selector.register(read, selectors.EVENT_READ, lambda: self._signalled(os.read(read, 64)))

    def _signalled(self, numbers: bytes) -> None:
        for number in numbers:
            if number == signal.SIGHUP:
                self._apply()
            elif self._draining:
                self._kill_all()
            else:
                self._drain()

    def _apply(self) -> None:
        """Reads the settings again; what cannot be loaded leaves the last good ones in force."""
        self._outdated = self._checking is not None
        if self._outdated:
            return
        try:
            settings = self._reload()
            registry, prices = self._registry, self._prices
            if settings.vocabulary != self._settings.vocabulary:
                registry = registry_of(settings)
            if settings.prices != self._settings.prices:
                prices = prices_of(settings)
        except TidegateError as error:
            self._refuse(error.message)
            return
        kept = fixed(self._settings)
        changed = [f"`{key}`" for key, value in fixed(settings).items() if value != kept[key]]
        if changed:
            say(f"needs a restart to be in force: {', '.join(changed)}")
            settings = msgspec.structs.replace(
                settings,
                data=self._settings.data,
                serve=_keep(settings.serve, self._settings.serve),
                record=msgspec.structs.replace(self._settings.record, evidence=settings.record.evidence),
                limits=_sized(settings.limits, self._settings.limits),
            )
            if flaw := exposure(settings):  # of the addresses that stay
                self._refuse(flaw)
                return
        if settings.policy == self._settings.policy:
            self._use(settings, registry, prices)
            return
        try:
            checking = self._checking = self._check(settings)
        except OSError as error:
            self._refuse(f"the policies could not be checked: {(error.strerror or '').lower()}")
            return
        checked = lambda: self._checked(checking, settings, registry, prices)  # noqa: E731
        self._selector.register(checking.fileno(), selectors.EVENT_READ, checked)

    def _check(self, settings: Settings) -> Aside:
        def check() -> None:
            self._let_go()
            for each in (listener for slot in self._slots for listener in slot.sockets):
                each.close()
            check_policies(settings)

        return Aside("the policies could not be checked", check)

    def _checked(self, checking: Aside, settings: Settings, registry: Registry, prices: Prices) -> None:
        self._selector.unregister(checking.fileno())
        self._checking = None
        flaw = ""
        try:
            checking.wait()
        except StartError as error:
            flaw = error.message
        if self._draining:
            return
        if self._outdated:
            self._apply()
        elif flaw:
            self._refuse(flaw)
        else:
            self._use(settings, registry, prices)

    def _refuse(self, flaw: str) -> None:
        self._metrics.reloaded(False)
        say(f"settings not reloaded: {flaw}")

    def _use(self, settings: Settings, registry: Registry, prices: Prices) -> None:
        self._settings, self._registry, self._prices = settings, registry, prices
        self._metrics.reloaded(True)
        told = [slot.channel.send(Message("use", settings)) for slot in self._slots if slot.channel is not None]
        say(f"settings reloaded by {sum(told)} of {len(told)} workers")

    def _drain(self) -> None:
        drain = self._settings.serve.drain
        self._draining = time.monotonic() + drain + KILL_AFTER
        busy = sum(1 for slot in self._slots if slot.pid)
        say(f"draining: {busy} workers finish within {drain:g} s")
        for slot in self._slots:
            for each in slot.sockets:
                each.close()
            if slot.channel is not None:
                slot.channel.send(Message("drain"))

    def _end_sequencer(self) -> None:
        """When the last worker has ended: what they have recorded is brought into the ledger."""
        slot = self._sequencer
        if slot.channel is not None:
            slot.channel.send(Message("drain"))
        until = time.monotonic() + LEDGER
        while slot.pid:
            if time.monotonic() > until:  # what is left is brought in by the next start
                os.kill(slot.pid, signal.SIGKILL)
            for key, _ in self._selector.select(WATCH):
                key.data()

    def _kill_all(self) -> None:
        for slot in self._slots:
            if slot.pid:
                os.kill(slot.pid, signal.SIGKILL)

    # admin

    def _healthz(self) -> tuple[int, dict[str, object]]:
        return 200, {"status": "ok"}

    def _readyz(self) -> tuple[int, dict[str, object]]:
        ready = sum(slot.ready for slot in self._slots)
        if self._draining:
            return 503, {"status": "draining", "workers": ready}
        return (200, {"status": "ready", "workers": ready}) if ready else (503, {"status": "starting", "workers": 0})

    def _version(self) -> tuple[int, dict[str, object]]:
        return 200, {"version": __version__, "python": sys.version.split()[0]}

    def _say_metrics(self) -> tuple[int, str]:
        return 200, self._metrics.text(sum(slot.ready for slot in self._slots), newest(self._ledger.log))


def lock(data: Path) -> int:
    """Holds the data directory; the workers inherit the lock, so it is free only when the last of them is gone."""
    try:
        data.mkdir(mode=0o700, parents=True, exist_ok=True)
        held = os.open(data / "lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    except OSError as error:
        raise StartError(f"cannot use the data directory `{data}`: {(error.strerror or '').lower()}") from None
    waited = False
    while True:
        try:
            fcntl.flock(held, fcntl.LOCK_EX | fcntl.LOCK_NB)
            break
        except OSError:
            owner = os.pread(held, 32, 0).decode("ascii", "replace").strip()
            if not owner.isdigit() or _alive(int(owner)):
                os.close(held)
                raise StartError(f"the data directory `{data}` is held by another gateway (pid {owner})") from None
            if not waited:
                say(f"waiting for the workers of a dead gateway (pid {owner}) to drain")
                waited = True
            time.sleep(0.1)
    os.ftruncate(held, 0)
    os.pwrite(held, f"{os.getpid()}\n".encode(), 0)
    return held


def _alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return True


def fixed(settings: Settings) -> dict[str, object]:
    """What cannot change while the gateway runs."""
    serve = settings.serve
    keys = ("listen", "admin", "tls", "workers")
    record = {f"record.{key}": getattr(settings.record, key) for key in ("audit", "stale", "origin", "checkpoints")}
    table = {f"limits.{key}": getattr(settings.limits, key) for key in ("slots", "quota", "deadline")}
    return {"data": settings.data} | {f"serve.{key}": getattr(serve, key) for key in keys} | record | table


def _keep(new: Serve, old: Serve) -> Serve:
    return msgspec.structs.replace(new, listen=old.listen, admin=old.admin, tls=old.tls, workers=old.workers)


def _sized(new: Limits, old: Limits) -> Limits:
    return msgspec.structs.replace(new, slots=old.slots, quota=old.quota, deadline=old.deadline)


def announce(settings: Settings, slots: list[Slot]) -> None:
    """Says where the gateway is, and the two lines that try it."""
    names = ", ".join(settings.integration)
    say(f"Tidegate {__version__}: {len(slots)} workers, integrations: {names}; admin http://{settings.serve.admin}")
    for text, listener in zip(settings.serve.listen, slots[0].sockets, strict=True):
        if isinstance(address(text), str):
            say(f"listening on {text}")
            continue
        host, port = listener.getsockname()[:2]
        shown = f"[{host}]" if ":" in host else host
        base = f"{'https' if settings.serve.tls else 'http'}://{shown}:{port}/v1"
        say(f"listening on {base.removesuffix('/v1')}; try it:")
        body = '{"model":"gpt-4o-mini","messages":[{"role":"user","content":"Hello"}]}'
        say(f"  curl {base}/chat/completions -H 'Content-Type: application/json' -d '{body}'")
        say(f"  export OPENAI_BASE_URL={base}")


def say(text: str) -> None:
    """One line for the operator, who may have stopped reading, or whose disk may be full. It goes past Python's
    buffers: what cannot be written stays in them, and fails again at the next flush.
    """
    stream = sys.stderr if text.startswith("worker") else sys.stdout
    if stream is None:  # it was closed when the gateway started, and its number may be another file's
        return
    line = f"{text}\n".encode(stream.encoding, "backslashreplace")
    with contextlib.suppress(OSError):
        while line:
            line = line[os.write(stream.fileno(), line) :]
