"""Pin, Shard, Lock: what went in, what was asked, what came out; written as JSON that is
the same for the same build."""

import dataclasses
import hashlib
import json
from dataclasses import dataclass, field
from typing import Any


@dataclass(frozen=True, order=True)
class Pin:
    """An input as it was seen: how many items, and one hash over their names and
    contents."""

    name: str
    items: int
    sha256: str


@dataclass(frozen=True, order=True)
class Shard:
    """One published file: its path within the release, split, rows, bytes and hash."""

    path: str
    split: str
    rows: int
    bytes: int
    sha256: str


@dataclass(frozen=True)
class Lock:
    """What an ingest was asked (spec) and, once it is complete, what came of it.

    read, kept and rejected: songs by source; reasons: rejects by source and reason; pins:
    the inputs' observed hashes.
    """

    spec: dict[str, Any]
    complete: bool = False
    read: dict[str, int] = field(default_factory=dict)
    kept: dict[str, int] = field(default_factory=dict)
    rejected: dict[str, int] = field(default_factory=dict)
    reasons: dict[str, dict[str, int]] = field(default_factory=dict)
    pins: list[Pin] = field(default_factory=list)


def canonical_sha256(value: Any) -> str:
    """Hash of a JSON value that does not depend on the order of its keys."""
    return hashlib.sha256(
        json.dumps(value, sort_keys=True, separators=(",", ":")).encode()
    ).hexdigest()


def to_json(value: Any) -> str:
    """A dataclass or JSON value as text for people and programs: keys in the order they
    were put, two spaces."""
    plain = (
        dataclasses.asdict(value)
        if dataclasses.is_dataclass(value) and not isinstance(value, type)
        else value
    )
    return json.dumps(plain, indent=2, ensure_ascii=False) + "\n"


def from_json(text: str | bytes) -> Any:
    """The value that a JSON text holds; raises ValueError for every text that holds none, also
    for one that is nested too deep."""
    try:
        return json.loads(text)
    except RecursionError as error:
        raise ValueError("it is nested too deep") from error


def lock_from_json(text: str) -> Lock:
    """The Lock that to_json wrote; raises ValueError for anything else."""
    try:
        plain = from_json(text)
        return Lock(
            **{
                **plain,
                "spec": dict(plain["spec"]),
                "pins": [Pin(**pin) for pin in plain["pins"]],
            }
        )
    except (TypeError, KeyError, ValueError) as error:
        raise ValueError(f"not an ingest lock: {error}") from error
