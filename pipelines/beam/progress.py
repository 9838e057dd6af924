"""Progress: how far an ingest has come, on a terminal as a bar and elsewhere as plain
lines.

Workers on this machine append one byte a song to a file of their shard
(pipelines/beam/shards.py: Tally); a thread of the launcher adds the bytes up. On a remote
file system there is nothing to watch, and the runner's own page tells.
"""

import sys
import threading
from collections import Counter
from pathlib import Path
from types import TracebackType

from tqdm import tqdm

from pipelines.io import files

SECONDS_BETWEEN_LOOKS = 0.5
SECONDS_BETWEEN_LINES = 10.0


class Progress:
    """A context in which songs done, rate, rejects and time left are shown."""

    def __init__(self, out: str, stage: str, total: int, skipped: int) -> None:
        self._folder = Path(out, "progress") if files.is_local(out) else None
        terminal = sys.stderr.isatty()
        self._bar = tqdm(
            total=total, initial=skipped, desc=stage, unit="song", file=sys.stderr, dynamic_ncols=terminal,
            mininterval=SECONDS_BETWEEN_LOOKS if terminal else SECONDS_BETWEEN_LINES,
            bar_format=None if terminal else "{desc}: {n_fmt} of {total_fmt} songs, {rate_fmt}, {remaining} left{postfix}\n",
        )  # fmt: skip
        self._skipped, self._stop = skipped, threading.Event()
        self._thread = threading.Thread(target=self._watch, daemon=True)

    def __enter__(self) -> "Progress":
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

    def _watch(self) -> None:
        while not self._stop.wait(SECONDS_BETWEEN_LOOKS):
            self._look()

    def _look(self) -> None:
        if not self._folder:
            return
        counts = Counter[int]()
        for path in self._folder.iterdir():
            counts.update(path.read_bytes())
        self._bar.set_postfix_str(f"{counts[ord('r')]} rejected", refresh=False)
        self._bar.update(self._skipped + counts.total() - self._bar.n)
