"""Which code made something: a hash of its source text, and the version that is
installed."""

import hashlib
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]


def code_sha256(*patterns: str) -> str:
    """One hash over the names and the text of the source files that match any of the
    patterns.

    patterns: as pathlib's glob takes them, below the folder that holds the packages, for
    example `schemas/*.py`. Where the packages stand does not matter.
    """
    paths = sorted({path for pattern in patterns for path in ROOT.glob(pattern)})
    if not paths:
        raise ValueError(f"no source file matches {', '.join(patterns)}")
    digest = hashlib.sha256()
    for path in paths:
        # Line ends are the checkout's affair; the NUL keeps a name from running into its text.
        text = path.read_bytes().replace(b"\r\n", b"\n")
        digest.update(path.relative_to(ROOT).as_posix().encode() + b"\0" + text + b"\0")
    return digest.hexdigest()


def installed_version(distribution: str = "moodroll") -> str:
    """The version of an installed distribution, `unknown` where it runs without being
    installed."""
    try:
        return version(distribution)
    except PackageNotFoundError:
        return "unknown"
