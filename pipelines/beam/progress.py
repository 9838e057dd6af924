"""Progress: how far a stage has come, on a terminal as a bar and elsewhere as plain lines.

Workers on this machine append one byte a song to a file of their shard
(pipelines/beam/shards.py: Tally), or mark that a shard is done (`counted`); a thread of the
launcher adds the bytes up. On a remote file system there is nothing to watch, and the runner's own
page tells.
"""

import contextlib
import sys
import threading
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from types import TracebackType
from typing import Any

from tqdm import tqdm

from pipelines.io import files
from schemas.working import SECONDS_BETWEEN_LINES, stage

SECONDS_BETWEEN_LOOKS = 0.5
FOLDER = "progress"


class Progress:
    """A context in which songs done, rate, rejects and time left are shown."""

    def __init__(self, out: str, name: str, total: int, skipped: int) -> None:
        self._folder = Path(out, FOLDER) if files.is_local(out) else None
        terminal = sys.stderr.isatty()
        self._seconds = SECONDS_BETWEEN_LOOKS if terminal else SECONDS_BETWEEN_LINES
        self._bar = tqdm(
            total=total, initial=skipped, desc=name, unit="song", file=sys.stderr, dynamic_ncols=terminal,
            bar_format=None if terminal else "{desc}: {n_fmt} of {total_fmt} songs, {rate_fmt}, {remaining} left{postfix}\n",
        )  # fmt: skip
        self._skipped, self._stop = skipped, threading.Event()
        self._thread = threading.Thread(target=self._watch, daemon=True)
        self._stage = stage(name, self._place, has_bar=bool(self._folder))

    def __enter__(self) -> "Progress":
        self._stage.__enter__()
        if self._folder:
            files.remove_where(str(self._folder), lambda path: True)
            self._thread.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._stop.set()
        if self._thread.is_alive():
            self._thread.join()
        self._look()
        self._bar.close()
        self._stage.__exit__(None, None, None)

    def _watch(self) -> None:
        while not self._stop.wait(self._seconds):
            self._look()

    def _look(self) -> None:
        """Show what is there; also where nothing is new, for it moves all the same."""
        if not self._folder:
            return
        counts = _bytes_in(self._folder)
        self._bar.set_postfix_str(f"{counts[ord('r')]} rejected", refresh=False)
        self._bar.n = self._skipped + counts.total()
        self._bar.refresh()

    def _place(self) -> str:
        done = _bytes_in(self._folder).total() if self._folder else 0
        return f"{self._skipped + done:,} of {self._bar.total:,} songs"


def _bytes_in(folder: Path) -> Counter[int]:
    counts = Counter[int]()
    # The folder may be taken away under a command, which finds that out for itself.
    with contextlib.suppress(OSError):
        for path in folder.iterdir():
            counts.update(path.read_bytes())
    return counts


@contextlib.contextmanager
def by_shard(out: str, name: str, n_shards: int) -> Iterator[None]:
    """A stage of which it is shown how many shards are done, see `counted`."""
    if not files.is_local(out):
        with stage(name):
            yield
        return
    folder = Path(out, FOLDER)
    files.make_folder(str(folder))
    files.remove_where(str(folder), lambda path: True)
    with stage(name, lambda: f"{_bytes_in(folder).total()} of {n_shards} shards"):
        yield
    with contextlib.suppress(OSError):
        files.remove_where(str(folder), lambda path: True)
        folder.rmdir()


def counted(index: int, function: Callable[..., Any], out: str, *arguments: Any) -> Any:
    """What a function gives for a shard, whose number it takes first; the shard is marked as
    done below `out`."""
    result = function(index, *arguments)
    if files.is_local(out):
        with contextlib.suppress(OSError):
            Path(out, FOLDER, f"{index:05d}").write_bytes(b"k")
    return result
