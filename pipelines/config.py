"""A build's settings: frozen, from a TOML file and `--set`, every key with its default."""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, fields
from typing import Any

from pipelines.dedupe.candidates import DedupeConfig
from pipelines.dedupe.shingles import ShingleConfig
from pipelines.features.key.settings import KeyConfig
from pipelines.filters import FilterConfig
from pipelines.labels.config import AffectConfig
from pipelines.labels.splits import Shares
from schemas.contracts import Limits, Source
from schemas.remi import RemiConfig
from schemas.settings import (
    SettingsError,
    build,
    override,
    public,
    read_toml,
    refuse_unknown,
)

# Settings of a build that decide whether it fails, and nothing of what it writes.
NOT_IN_SONGS = {"max_reject_share"}
SOURCE_NAME = re.compile("[a-z][a-z0-9_-]*")


@dataclass(frozen=True)
class CurateConfig:
    """What is asked of songs once they are read: all that `split` can change.

    name: of the dataset; filters: one entry a source; seed: of splits, label ranks and
    judges; file_megabytes: the size that published files come near to.
    """

    name: str
    filters: Mapping[str, FilterConfig]
    seed: int = 0
    dedupe: DedupeConfig = field(default_factory=DedupeConfig)
    affect: AffectConfig = field(default_factory=AffectConfig)
    splits: Shares = field(default_factory=Shares)
    file_megabytes: float = 256.0

    def __post_init__(self) -> None:
        if not self.file_megabytes > 0:
            raise ValueError(f"file_megabytes must be over 0, not {self.file_megabytes}")

    def curate_spec(self) -> dict[str, Any]:
        """These settings as JSON values, without paths."""
        return {
            name.name: public(getattr(self, name.name)) for name in fields(CurateConfig)
        }


@dataclass(frozen=True, kw_only=True)
class BuildConfig(CurateConfig):
    """All that a build is asked.

    sources: one entry a source; shards: files that songs are read into, and tasks that
    workers share; max_reject_share: of a source's files that may be unreadable before the build
    fails.
    """

    sources: Mapping[str, Any]
    shards: int = 64
    max_reject_share: float = 0.05
    limits: Limits = field(default_factory=Limits)
    remi: RemiConfig = field(default_factory=RemiConfig)
    key: KeyConfig = field(default_factory=KeyConfig)
    shingles: ShingleConfig = field(default_factory=ShingleConfig)

    def __post_init__(self) -> None:
        super().__post_init__()
        if not 1 <= self.shards <= 99_999:
            raise ValueError(f"shards must be 1-99999, not {self.shards}")

    def ingest_spec(self) -> dict[str, Any]:
        """What of these settings decides the bytes of the songs: all but those of curate
        and NOT_IN_SONGS. No path is among them."""
        later = {field.name for field in fields(CurateConfig)} | NOT_IN_SONGS
        names = [field.name for field in fields(self) if field.name not in later]
        return {name: public(getattr(self, name)) for name in names}


def load(
    path: str, assignments: Sequence[str], sources: Mapping[str, Source]
) -> BuildConfig:
    """The settings of a build file with `--set` laid over; raises SettingsError, in one
    sentence with its mend."""
    tables = override(read_toml(path), assignments)
    given = tables.get("sources", {})
    if not isinstance(given, Mapping):
        raise SettingsError(
            f"sources must be a table with one table a source, not {given!r}"
        )
    if not given:
        raise SettingsError(
            f"no source is given: add one of {', '.join(f'[sources.{name}]' for name in sorted(sources))}"
        )
    chosen = sorted(given)
    typed = {name: _source(name, given[name], sources) for name in chosen}
    return build(
        BuildConfig, {**tables, "sources": typed, "filters": _filters(tables, chosen)}
    )


def _source(name: str, table: Any, sources: Mapping[str, Source]) -> Any:
    """The settings of one source: of the kind that it says, else of the kind of its name."""
    if not isinstance(table, Mapping):
        raise SettingsError(f"sources.{name} must be a table, not {table!r}")
    kind = table.get("kind", name)
    by_name = [one for one, source in sources.items() if source.by_name]
    refuse_unknown({kind: None}, list(sources), "sources")
    if kind != name and kind not in by_name:
        raise SettingsError(
            f"sources.{name}.kind: only {', '.join(by_name)} goes under other names than its "
            f"own: write [sources.{kind}]"
        )
    if kind != name and not SOURCE_NAME.fullmatch(name):
        raise SettingsError(
            f"sources.{name}: a name is made of a-z, 0-9, - and _, and begins with a letter"
        )
    own = {key: value for key, value in table.items() if key != "kind"}
    if kind in by_name:
        own = {**own, "name": name}
    return build(sources[kind].config, own, f"sources.{name}")


def load_split(
    path: str, assignments: Sequence[str], sources: Sequence[str], known: Sequence[str]
) -> CurateConfig:
    """The settings of a split file for a corpus that holds `sources`, of those that are
    known; raises SettingsError.

    Filters of a source that the corpus lacks are left aside, so that one file serves
    several corpora.
    """
    tables = override(read_toml(path), assignments)
    _tables_of(tables, "filters", [*known, *sources])
    here = {
        name: table for name, table in tables.get("filters", {}).items() if name in sources
    }
    return build(
        CurateConfig, {**tables, "filters": _filters({"filters": here}, sorted(sources))}
    )


def _filters(tables: Mapping[str, Any], sources: Sequence[str]) -> dict[str, FilterConfig]:
    given = _tables_of(tables, "filters", sources)
    return {
        name: build(FilterConfig, given.get(name, {}), f"filters.{name}")
        for name in sources
    }


def _tables_of(
    tables: Mapping[str, Any], name: str, known: Sequence[str]
) -> Mapping[str, Any]:
    """The tables below one name, one a source."""
    table = tables.get(name, {})
    if not isinstance(table, Mapping):
        raise SettingsError(
            f"{name} must be a table with one table a source, not {table!r}"
        )
    refuse_unknown(table, known, name)
    return table
