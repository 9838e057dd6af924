"""A Beam worker process without Beam's news of itself: it says what goes wrong and nothing else."""

import logging


def main() -> None:
    """Serve the runner that started this process, until it says no more."""
    # Disabled, not set to a level: the harness sets the root logger's level itself, to INFO.
    logging.disable(logging.WARNING)
    # Not at the top: a sandbox's child imports this file as its main module, and has no use for Beam.
    from apache_beam.runners.worker import sdk_worker_main

    sdk_worker_main.main([])


if __name__ == "__main__":
    main()
