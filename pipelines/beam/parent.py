"""Parent: a process that ends once the one that started it has, so that a build that is stopped
or killed leaves nobody behind who goes on working."""

import os
import threading
import time

SECONDS_BETWEEN_LOOKS = 0.1


def end_with(parent: int) -> None:
    """Watch, in a thread, whether `parent` (the id of this process's parent) is still there."""
    threading.Thread(target=_watch, args=(parent,), daemon=True).start()


def _watch(parent: int) -> None:
    while os.getppid() == parent:
        time.sleep(SECONDS_BETWEEN_LOOKS)
    os._exit(1)
