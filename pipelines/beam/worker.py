"""A Beam worker process without Beam's news of itself: it says what goes wrong and
nothing else."""

import logging
import os
import threading
import time

SECONDS_BETWEEN_LOOKS = 0.1


def main() -> None:
    """Serve the runner that started this process, until it says no more."""
    # Disabled, not set to a level: the harness sets the root logger's level itself, to
    # INFO.
    logging.disable(logging.WARNING)
    threading.Thread(target=_end_with, args=(os.getppid(),), daemon=True).start()
    # Not at the top: a sandbox's child imports this file as its main module, and has no use
    # for Beam.
    from apache_beam.runners.worker import sdk_worker_main

    sdk_worker_main.main([])


def _end_with(parent: int) -> None:
    """End this process once its parent has: a killed build leaves nobody behind who goes on
    writing."""
    while os.getppid() == parent:
        time.sleep(SECONDS_BETWEEN_LOOKS)
    os._exit(1)


if __name__ == "__main__":
    main()
