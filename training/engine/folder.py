"""The folder of a run: one training at a time works in it."""

import fcntl
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from training.errors import RunFailed

LOCK = ".lock"


@contextmanager
def locked(out: str, leads: bool = True) -> Iterator[None]:
    """Hold a run's folder; RunFailed where another process trains in it.

    The system lets go of the lock when its holder ends, however that is. leads: whether this
    process is the one of its ranks that writes; the others need no lock.
    """
    if not leads:
        yield
        return
    try:
        Path(out).mkdir(parents=True, exist_ok=True)
        stream = Path(out, LOCK).open("a")  # noqa: SIM115  # closed below
    except OSError as error:
        raise RunFailed(
            f"{out} cannot be written ({error.strerror}): train into another --out"
        ) from error
    with stream:
        try:
            fcntl.flock(stream, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            raise RunFailed(
                f"{out} is being trained in by another process: wait for it, or train into "
                "another --out"
            ) from error
        except OSError:  # a file system without locks
            pass
        yield
