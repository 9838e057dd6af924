"""Sandbox: a function run in a child process with a time limit, so that a file can hang or
crash its reader and no more.

A child lives for many calls; it is replaced after a call that ran out of time or killed it.
"""

import multiprocessing
from collections.abc import Callable
from concurrent.futures import TimeoutError as FutureTimeout
from typing import Any

from pebble import ProcessExpired, ProcessPool

from schemas.reject import BadInput, Reason


class Sandbox:
    """One child process; `call` waits for it."""

    def __init__(self, seconds: float) -> None:
        self._seconds = seconds
        # Spawned, not forked: the parent runs the threads of a Beam worker, whose locks a
        # fork would copy.
        self._pool = ProcessPool(
            max_workers=1, context=multiprocessing.get_context("spawn")
        )
        # The first call would otherwise pay for the child's imports out of its own time.
        self._pool.schedule(_nothing).result()

    def call(self, function: Callable[..., Any], *arguments: Any) -> Any:
        """The function's result; raises BadInput where it takes too long or dies, and
        whatever it raises itself."""
        try:
            return self._pool.schedule(
                function, args=arguments, timeout=self._seconds
            ).result()
        except FutureTimeout as error:
            raise BadInput(
                Reason.TIMEOUT, f"not read within read_seconds {self._seconds:g}"
            ) from error
        except ProcessExpired as error:
            raise BadInput(
                Reason.READER_DIED, f"the reader died with exit code {error.exitcode}"
            ) from error

    def close(self) -> None:
        """End the child."""
        self._pool.stop()  # type: ignore[no-untyped-call]  # the one method that pebble leaves bare
        self._pool.join()


def _nothing() -> None:
    return None
