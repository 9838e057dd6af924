"""What stops a run for a reason that a person can mend."""


class RunFailed(Exception):
    """The data, a file or a check stopped the run; one sentence for a person, exit code
    1."""
