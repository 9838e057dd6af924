"""A Beam worker process without Beam's news of itself: what goes wrong in it reaches the
launcher, which says it."""

import logging
import signal
import sys

from pipelines.beam.parent import end_with


def main() -> None:
    """Serve the runner whose process id is the only argument, until it says no more."""
    # Ctrl-C on a terminal reaches every process of it; the launcher alone answers.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    # Disabled, not set to a level: the harness sets the root logger's level itself, to
    # INFO.
    logging.disable(logging.ERROR)
    end_with(int(sys.argv[1]))
    # Not at the top: a sandbox's child imports this file as its main module, and has no use
    # for Beam.
    from apache_beam.runners.worker import sdk_worker_main

    sdk_worker_main.main([])


if __name__ == "__main__":
    main()
