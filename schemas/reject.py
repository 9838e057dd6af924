"""Reject: what a song becomes when it leaves, with a reason from a closed list: these
words, and the names of the filters (pipelines/filters.py)."""

from dataclasses import dataclass
from enum import StrEnum


class Reason(StrEnum):
    """The words of the `reason` column that are no filter's name."""

    # ingest: the file is bad
    NOT_A_FILE = "not_a_file"
    UNREADABLE = "unreadable"
    EMPTY_FILE = "empty_file"
    TOO_LARGE = "too_large"
    TRUNCATED = "truncated"
    PICKLED = "pickled"
    MALFORMED = "malformed"
    BAD_INFO = "bad_info"
    BAD_TEMPO = "bad_tempo"
    TIMEOUT = "timeout"
    READER_DIED = "reader_died"
    READER_FAILED = "reader_failed"
    # curate: it is a copy of a song that is kept; else the name of the first filter that
    # says no
    DUPLICATE = "duplicate"
    # curate: it stands in validation or test, and a song of another split may be the same piece
    HELD_OUT_OF_EVAL = "held_out_of_eval"


# Of the machine or the moment and not of the file: the same song may be read another time.
PASSING = frozenset({Reason.UNREADABLE, Reason.TIMEOUT, Reason.READER_DIED})


@dataclass(frozen=True)
class Reject:
    """One song that left: which, from where, at which stage (ingest, curate), why, and the
    particulars."""

    song_id: str
    source: str
    stage: str
    reason: str
    detail: str


class BadInput(Exception):
    """Raised by a reader for a file that is bad; costs the build one Reject."""

    def __init__(self, reason: Reason, detail: str) -> None:
        super().__init__(reason, detail)
        self.reason, self.detail = reason, detail


class BuildFailed(Exception):
    """The data or a check stopped the build; one sentence for a person, exit code 1."""
