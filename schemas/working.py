"""Working: a command that says every few seconds what it is at, and that ends in one sentence
where it is told to stop (Ctrl-C, SIGTERM).

Commands name their stages with `stage`; `working` stands around the whole of a command.
"""

import multiprocessing
import os
import signal
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from types import FrameType
from typing import Any

SECONDS_BETWEEN_LINES = 4.0
# For a training that answers a signal itself, by a checkpoint; then it is ended all the same.
GRACE_SECONDS = 2.5
SILENT = "ignore:resource_tracker"
STOPS = (signal.SIGINT, signal.SIGTERM)
GOES_ON = "the same command goes on from there"
AGAIN = "run the same command again"


@dataclass(frozen=True, eq=False)
class Stage:
    """A part of a command: its name, how far it is in words ("" where nothing is counted), whether
    it has a bar of its own."""

    name: str
    place: Callable[[], str]
    has_bar: bool = False
    begun: float = field(default_factory=time.monotonic)

    def line(self) -> str:
        """What is said of it while it lasts."""
        parts = (self.place(), f"{time.monotonic() - self.begun:.0f} s")
        return f"{self.name}: {', '.join(filter(None, parts))}"

    def stopped(self) -> str:
        """What is said where it is told to stop."""
        place = self.place()
        return f"stopped at {place}" if place else f"stopped in {self.name}"


# What the process is at, the innermost stage last. It is one to a process, as its terminal is.
_STAGES: list[Stage] = []


@contextmanager
def stage(
    name: str, place: Callable[[], str] = str, has_bar: bool = False
) -> Iterator[None]:
    """Name what is being done; place: how far it is, in words; has_bar: it shows that itself."""
    now = Stage(name, place, has_bar)
    _STAGES.append(now)
    try:
        yield
    finally:
        _STAGES.remove(now)


@dataclass
class Stopped:
    """Whether a command was told to stop: `code` is its exit code then, 128 and the number of the
    signal; else 0."""

    code: int = 0


@contextmanager
def working(command: str, mend: str) -> Iterator[Stopped]:
    """A block of which a line is shown every SECONDS_BETWEEN_LINES, and which SIGINT and SIGTERM
    end at once, in one sentence; mend: what is to be done then.

    The signals are waited for in a thread: the main one may be deep in compiled code. Where the
    block answers them itself it has GRACE_SECONDS to end. Child processes are expected to end with
    this one.
    """
    if SILENT not in sys.warnoptions:
        # The interpreter's own helper process, which cleans up behind one that was stopped, is
        # started with these options, and would say so at length.
        sys.warnoptions.append(SILENT)
    stopped, over = Stopped(), threading.Event()
    with stage(command.split()[-1]), _signals(command, mend, stopped, over):
        speaker = threading.Thread(target=_speak, args=(over,), daemon=True)
        speaker.start()
        try:
            yield stopped
        finally:
            over.set()
            speaker.join()


def _speak(over: threading.Event) -> None:
    while not over.wait(SECONDS_BETWEEN_LINES):
        now = _STAGES[-1] if _STAGES else None
        if now and not now.has_bar:
            print(now.line(), file=sys.stderr, flush=True)


@contextmanager
def _signals(
    command: str, mend: str, stopped: Stopped, over: threading.Event
) -> Iterator[None]:
    if threading.current_thread() is not threading.main_thread():
        yield  # signals are the main thread's affair
        return
    get, put = os.pipe()
    os.set_blocking(put, False)
    before = {number: signal.signal(number, _noticed) for number in STOPS}
    waked = signal.set_wakeup_fd(put, warn_on_full_buffer=False)
    told = (get, command, mend, stopped, over)
    waiter = threading.Thread(target=_wait, args=told, daemon=True)
    waiter.start()
    try:
        yield
    finally:
        signal.set_wakeup_fd(waked)
        for number, handler in before.items():
            signal.signal(number, handler)
        os.close(put)  # which the waiter sees as the end
        waiter.join()


def _noticed(number: int, frame: FrameType | None) -> Any:
    """The waiter answers, which is told of a signal before this is."""


def _wait(
    get: int, command: str, mend: str, stopped: Stopped, over: threading.Event
) -> None:
    """Read the numbers of signals until there is one to stop at, or nobody to send one."""
    with open(get, "rb", buffering=0) as numbers:
        while number := numbers.read(1):
            if number[0] not in STOPS:
                continue
            own = signal.getsignal(number[0]) is _noticed
            stopped.code = 128 + number[0]
            if own or not over.wait(GRACE_SECONDS):
                _end(command, mend, stopped.code)


def _end(command: str, mend: str, code: int) -> None:
    """Say it and be gone: no lock is waited for, no thread, no handler."""
    try:
        line = "\n" if sys.stderr.isatty() else ""
        says = _STAGES[-1].stopped() if _STAGES else "stopped"
        os.write(2, f"{line}{command}: {says}; {mend}\n".encode())
        # They end with this process by themselves, but for those that have not come so far yet.
        for child in multiprocessing.active_children():
            child.kill()
    finally:
        os._exit(code)
