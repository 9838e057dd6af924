"""A build's settings: frozen, from a TOML file and `--set`, every key with its default."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from pipelines.affect.splits import Shares
from pipelines.dedupe.candidates import DedupeConfig
from pipelines.dedupe.shingles import ShingleConfig
from pipelines.features.key import KeyConfig
from schemas.entries import FilterConfig, Limits, Source
from schemas.remi import RemiConfig
from schemas.settings import SettingsError, build, override, public, read_toml, refuse_unknown


@dataclass(frozen=True)
class BuildConfig:
    """All that a build is asked.

    name: of the dataset; shards: files a split is written in, and tasks that workers share; seed: of splits and label
    ranks; max_reject_share: of a source's files that may be unreadable before the build fails. sources and filters hold
    one entry a source.
    """

    name: str
    sources: Mapping[str, Any]
    filters: Mapping[str, FilterConfig]
    shards: int = 64
    seed: int = 0
    max_reject_share: float = 0.05
    limits: Limits = field(default_factory=Limits)
    remi: RemiConfig = field(default_factory=RemiConfig)
    key: KeyConfig = field(default_factory=KeyConfig)
    shingles: ShingleConfig = field(default_factory=ShingleConfig)
    dedupe: DedupeConfig = field(default_factory=DedupeConfig)
    splits: Shares = field(default_factory=Shares)

    def __post_init__(self) -> None:
        if not 1 <= self.shards <= 99_999:
            raise ValueError(f"shards must be 1-99999, not {self.shards}")

    def ingest_spec(self) -> dict[str, Any]:
        """What of these settings decides the bytes of the songs; no path is among them."""
        names = ("shards", "sources", "limits", "remi", "key", "shingles")
        return {name: public(getattr(self, name)) for name in names}


def load(path: str, assignments: Sequence[str], sources: Mapping[str, Source]) -> BuildConfig:
    """The settings of a build file with `--set` laid over; raises SettingsError, in one sentence with its mend."""
    tables = override(read_toml(path), assignments)
    per_source = {name: tables.pop(name, {}) for name in ("sources", "filters")}
    for name, table in per_source.items():
        if not isinstance(table, Mapping):
            raise SettingsError(f"{name} must be a table with one table a source, not {table!r}")
        refuse_unknown(table, list(sources), name)
    if not per_source["sources"]:
        raise SettingsError(f"no source is given: add one of {', '.join(f'[sources.{name}]' for name in sorted(sources))}")
    chosen = sorted(per_source["sources"])
    refuse_unknown(per_source["filters"], chosen, "filters")
    typed = {
        "sources": {name: build(sources[name].config, per_source["sources"][name], f"sources.{name}") for name in chosen},
        "filters": {name: build(FilterConfig, per_source["filters"].get(name, {}), f"filters.{name}") for name in chosen},
    }
    return build(BuildConfig, {**tables, **typed})
