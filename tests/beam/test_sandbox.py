"""A file can hang or crash its reader, and costs one Reject."""

import os
import time
from collections.abc import Iterator

import pytest

from pipelines.beam.sandbox import Sandbox
from schemas.reject import BadInput, Reason


@pytest.fixture(scope="module")
def sandbox() -> Iterator[Sandbox]:
    box = Sandbox(seconds=1.0)
    yield box
    box.close()


def test_a_result_and_an_error_come_back(sandbox: Sandbox) -> None:
    assert sandbox.call(sorted, [2, 1]) == [1, 2]
    with pytest.raises(ZeroDivisionError):
        sandbox.call(divmod, 1, 0)


def test_a_reader_that_hangs_is_stopped(sandbox: Sandbox) -> None:
    begin = time.monotonic()
    with pytest.raises(BadInput) as refused:
        sandbox.call(time.sleep, 60)
    assert refused.value.reason == Reason.TIMEOUT and time.monotonic() - begin < 20
    assert sandbox.call(len, "abc") == 3


def test_a_reader_that_dies_is_replaced(sandbox: Sandbox) -> None:
    with pytest.raises(BadInput) as refused:
        sandbox.call(os._exit, 3)
    assert refused.value.reason == Reason.READER_DIED
    assert sandbox.call(len, "abc") == 3
