"""A file can hang or crash its reader, and costs one Reject; a machine that is busy costs none."""

import multiprocessing
import os
import subprocess
import sys
import time
from collections.abc import Iterator

import pytest

from pipelines.beam.sandbox import Sandbox
from schemas.reject import BadInput, Reason


@pytest.fixture(scope="module")
def sandbox() -> Iterator[Sandbox]:
    box = Sandbox(cpu_seconds=1.0, wall_seconds=2.0)
    yield box
    box.close()


def work(seconds: float) -> str:
    """Take a core for so long."""
    end = time.process_time() + seconds
    while time.process_time() < end:
        pass
    return "done"


def sort_without_end(_: int) -> None:
    """Compiled code that never looks at a signal handler."""
    sum(range(10**15))


def test_a_result_and_an_error_come_back(sandbox: Sandbox) -> None:
    assert sandbox.call(sorted, [2, 1]) == [1, 2]
    with pytest.raises(ZeroDivisionError):
        sandbox.call(divmod, 1, 0)


def test_a_reader_that_waits_is_stopped(sandbox: Sandbox) -> None:
    begin = time.monotonic()
    with pytest.raises(BadInput) as refused:
        sandbox.call(time.sleep, 60)
    assert refused.value.reason == Reason.TIMEOUT and time.monotonic() - begin < 20
    assert sandbox.call(len, "abc") == 3


def test_a_reader_that_works_without_end_is_stopped() -> None:
    box = Sandbox(cpu_seconds=0.5)
    try:
        for _ in range(2):
            with pytest.raises(BadInput) as refused:
                box.call(sort_without_end, 0)
            assert refused.value.reason == Reason.TIMEOUT
            assert (
                refused.value.detail == "not read within read_seconds 0.5 of processor time"
            )
        # Each call has its own time, though the child is the same.
        assert [box.call(work, 0.4) for _ in range(4)] == ["done"] * 4
    finally:
        box.close()


def test_a_busy_machine_costs_no_reader_its_time() -> None:
    loops = [
        subprocess.Popen([sys.executable, "-c", "while True: pass"])
        for _ in range(2 * (os.cpu_count() or 1))
    ]
    box = Sandbox(cpu_seconds=1.0)
    try:
        begin = time.monotonic()
        assert box.call(work, 0.8) == "done"
        assert time.monotonic() - begin > 0.8
    finally:
        box.close()
        for loop in loops:
            loop.kill()
            loop.wait()


def test_a_reader_that_dies_is_replaced(sandbox: Sandbox) -> None:
    with pytest.raises(BadInput) as refused:
        sandbox.call(os._exit, 3)
    assert refused.value.reason == Reason.READER_DIED
    assert sandbox.call(len, "abc") == 3


def _in_a_sandbox(seconds: float, here: "multiprocessing.Queue[int]") -> None:
    box = Sandbox(cpu_seconds=60.0)
    here.put(box.call(os.getpid))
    box.call(work, seconds)


def test_a_child_ends_with_the_process_that_started_it() -> None:
    context = multiprocessing.get_context("spawn")
    here = context.Queue()
    parent = context.Process(target=_in_a_sandbox, args=(60.0, here))
    parent.start()
    child = here.get(timeout=60)
    parent.kill()
    parent.join()
    for _ in range(60):
        if not os.path.exists(f"/proc/{child}"):
            break
        time.sleep(0.05)
    else:
        pytest.fail("the reader works on though nobody waits for it")
