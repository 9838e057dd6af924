"""Sandbox: a function run in a child process with a limit of processor time, so that a file can
hang or crash its reader and no more.

A child lives for many calls; it is replaced after a call that ran out of time or killed it. The
limit is of CPU seconds, so that what is refused does not depend on what else the machine does; a
limit of wall seconds stands far above it, for a reader that waits for something.
"""

import multiprocessing
import os
import resource
import signal
import time
from collections.abc import Callable
from concurrent.futures import TimeoutError as FutureTimeout
from typing import Any

from pebble import ProcessExpired, ProcessPool

from pipelines.beam.parent import end_with
from schemas.reject import BadInput, Reason

# A machine on which a reader gets less than this share of a core is not worked on.
WALL_SECONDS_A_CPU_SECOND = 20.0


class Sandbox:
    """One child process; `call` waits for it. wall_seconds: 20 times cpu_seconds where it is not
    given."""

    def __init__(self, cpu_seconds: float, wall_seconds: float = 0.0) -> None:
        self._cpu_seconds = cpu_seconds
        self._wall_seconds = wall_seconds or WALL_SECONDS_A_CPU_SECOND * cpu_seconds
        # Spawned, not forked: the parent runs the threads of a Beam worker, whose locks a
        # fork would copy.
        self._pool = ProcessPool(
            max_workers=1,
            context=multiprocessing.get_context("spawn"),
            initializer=end_with,
            initargs=(os.getpid(),),
        )
        # The first call would otherwise pay for the child's imports out of its own time.
        self._pool.schedule(_nothing).result()

    def call(self, function: Callable[..., Any], *arguments: Any) -> Any:
        """The function's result; raises BadInput where it takes too long or dies, and
        whatever it raises itself."""
        says = f"not read within read_seconds {self._cpu_seconds:g}"
        try:
            return self._pool.schedule(
                _limited,
                args=(self._cpu_seconds, function, *arguments),
                timeout=self._wall_seconds,
            ).result()
        except FutureTimeout as error:
            raise BadInput(
                Reason.TIMEOUT,
                f"{says} of processor time, nor within {self._wall_seconds:g} s",
            ) from error
        except ProcessExpired as error:
            if error.exitcode == -signal.SIGXCPU:
                raise BadInput(Reason.TIMEOUT, f"{says} of processor time") from error
            raise BadInput(
                Reason.READER_DIED, f"the reader died with exit code {error.exitcode}"
            ) from error

    def close(self) -> None:
        """End the child."""
        self._pool.stop()  # type: ignore[no-untyped-call]  # the one method that pebble leaves bare
        self._pool.join()


def _limited(cpu_seconds: float, function: Callable[..., Any], *arguments: Any) -> Any:
    """Call the function in a process that the system ends once it has worked cpu_seconds on it:
    a loop in compiled code cannot put that off."""
    # Set anew for each call, since the system counts the whole life of a process. The limit is in
    # whole seconds, which are given and not taken.
    most = int(time.process_time() + cpu_seconds) + 1
    _, hard = resource.getrlimit(resource.RLIMIT_CPU)
    if hard != resource.RLIM_INFINITY:
        most = min(most, hard)
    resource.setrlimit(resource.RLIMIT_CPU, (most, hard))
    return function(*arguments)


def _nothing() -> None:
    return None
