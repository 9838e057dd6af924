"""Manifest checks: all that a release's manifest says and that can be worked out again, from its
shards, from the program, or from the manifest itself.

What nothing inside a folder can prove (settings, pins of the inputs, versions, and a manifest that
was written anew with all that hangs on it) is proved by the manifest's own hash alone, which
`verify` prints and compares with `--manifest-sha256`.
"""

import hashlib
import re
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

from pipelines.checks import COPIES, Checked
from pipelines.io import files
from pipelines.labels.splits import SPLITS
from pipelines.layout import DATA, MANIFEST, REPORT, shard_name, shard_of, song_shards
from pipelines.report.card import CARD
from pipelines.report.croissant import CROISSANT
from pipelines.report.lineage import lineage
from pipelines.report.vocabulary import VOCABULARY
from schemas.columns import RELEASE, described
from schemas.manifest import canonical_sha256
from schemas.remi import vocabulary_sha256

NAME = re.compile(rf"{DATA}/(?P<split>\w+)-(?P<index>\d{{5}})-of-(?P<n>\d{{5}})\.parquet")
Shards = Sequence[tuple[Mapping[str, Any], Checked]]


def manifest_sha256(release: str) -> str:
    """The hash of a release's manifest, which fixes every other file of it."""
    return hashlib.sha256(files.read_bytes(files.join(release, MANIFEST))).hexdigest()


def report_facts(release: str) -> dict[str, Any]:
    """Size and hash of report.html, as they stand in the manifest."""
    data = files.read_bytes(files.join(release, REPORT))
    return {"path": REPORT, "bytes": len(data), "sha256": hashlib.sha256(data).hexdigest()}


def odd_shards(manifest: Mapping[str, Any]) -> Iterator[str]:
    """Parts that are missing or too many, and shards that are not said to be what they are."""
    kinds = {"path": str, "split": str, "rows": int, "bytes": int, "sha256": str}
    shards = manifest["shards"]
    if not isinstance(shards, list):
        yield "the manifest's shards are no list"
        return
    for place, shard in enumerate(shards):
        given = shard if isinstance(shard, dict) else {}
        for name, kind in kinds.items():
            if type(given.get(name)) is not kind:
                yield f"shard {place} of the manifest has no {name} of its kind"
    paths = [str(shard.get("path")) for shard in shards if isinstance(shard, dict)]
    wanted = {name for split in SPLITS for name in _files_of(split, paths)}
    there = Counter(paths)
    for path in sorted(wanted - set(there)):
        yield f"{path} is missing from the manifest"
    for path, times in sorted(there.items()):
        if path not in wanted or times > 1:
            yield f"{path} is no file of a split, or stands twice"


def _files_of(split: str, paths: Iterable[str]) -> list[str]:
    """Every file that a split must have, by how many its files' names say that there are; one
    where there is none."""
    said = [NAME.fullmatch(path) for path in paths]
    of_split = [int(name["n"]) for name in said if name and name["split"] == split]
    n_files = max(of_split, default=1)
    return [f"{DATA}/{shard_name(split, index, n_files)}" for index in range(n_files)]


def foreign_files(release: str, manifest: Mapping[str, Any]) -> Iterator[str]:
    """Files that are no part of a release; among the shards a glob would read them along."""
    claimed = {shard["path"] for shard in manifest["shards"]}
    claimed |= {MANIFEST, CARD, CROISSANT, VOCABULARY, REPORT}
    for info in files.BeamFiles().walk(release):
        if info.path not in claimed:
            yield f"{info.path} is not in the manifest"


def report_faults(release: str, manifest: Mapping[str, Any]) -> Iterator[str]:
    """report.html where it is missing or is not the one that was published."""
    if not files.exists(files.join(release, REPORT)):
        yield f"{REPORT} is missing"
    elif manifest.get("report") != report_facts(release):
        yield f"{REPORT} is not the one that the manifest hashes"


def own_faults(manifest: Mapping[str, Any]) -> Iterator[str]:
    """What of the manifest the program or the manifest itself gives in another way."""
    columns = described(RELEASE)
    given = {
        "columns": columns,
        "schema_sha256": canonical_sha256(columns),
        "vocabulary_sha256": vocabulary_sha256(),
        "lineage": lineage(manifest),
    }
    for name, value in given.items():
        if manifest.get(name) != value:
            yield f"{name} is not what the rest of the manifest gives"
    config = manifest["config"]
    for name in ("name", "schema_version", "vocabulary_sha256"):
        if config.get(name) != manifest[name]:
            yield f"{name} is not the one of config"
    yield from _ingest_faults(manifest["ingest"])
    yield from _fall_faults(manifest)


def _ingest_faults(ingest: Mapping[str, Any]) -> Iterator[str]:
    names = set(ingest["read"])
    if any(set(ingest[key]) != names for key in ("kept", "rejected", "reasons")):
        yield "ingest counts other sources than it read"
        return
    for name in sorted(names):
        read, kept = ingest["read"][name], ingest["kept"][name]
        if read != kept + ingest["rejected"][name]:
            yield f"ingest read {read} songs of {name}, kept and rejected are not as many"
        if sum(ingest["reasons"][name].values()) != ingest["rejected"][name]:
            yield f"ingest's reasons of {name} are not as many as its rejects"
    items = {pin["name"]: pin["items"] for pin in ingest["pins"]}
    if items != dict(ingest["read"]):
        yield "ingest pins other numbers of songs than it read"


def _fall_faults(manifest: Mapping[str, Any]) -> Iterator[str]:
    fall, came = manifest["waterfall"], manifest["ingest"]["kept"]
    sources = sorted(set(fall) - {"all"})
    if sources != sorted(name for name in came if came[name]):
        yield "the waterfall has other sources than ingest"
        return
    for name in sources:
        if fall[name]["in"] != came[name]:
            yield f"{fall[name]['in']} songs of {name} fall, ingest kept {came[name]}"
    for key in ("in", "kept"):
        if fall["all"][key] != sum(fall[name][key] for name in sources):
            yield f"{key} of all is not the sum of the sources"
    for key in ("failed", "failed_alone"):
        for rule in fall["all"][key]:
            if fall["all"][key][rule] != sum(fall[name][key][rule] for name in sources):
                yield f"{key} {rule} of all is not the sum of the sources"
    for name, one in fall.items():
        out = one["in"] - one["kept"]
        alone, failed = sum(one["failed_alone"].values()), one["failed"]
        if not (alone <= out <= sum(failed.values()) and out >= max(failed.values())):
            yield f"the waterfall of {name} does not add up"


def row_faults(checked: Shards, manifest: Mapping[str, Any]) -> Iterator[str]:
    """What the rows of all shards give otherwise than the manifest says."""
    n_shards = manifest["config"]["shards"]
    kept: Counter[str] = Counter()
    sizes: list[int] = []
    n_labelled = n_judges = 0
    for shard, (_, columns) in checked:
        songs = columns["song_id"]
        kept.update(song_id.partition(":")[0] for song_id in songs)
        sizes += [1 + len(copies) for copies in columns[COPIES]]
        n_labelled += sum(value is not None for value in columns["valence"])
        n_judges += sum(columns["judge"])
        yield from _misplaced(shard["path"], songs, n_shards)
        yield from _misnamed(columns)
    for name, one in manifest["waterfall"].items():
        there = kept.total() if name == "all" else kept[name]
        if one["kept"] != there:
            yield f"the shards have {there} songs of {name}, the waterfall keeps {one['kept']}"
    for name, count in (("labelled", n_labelled), ("judge", n_judges)):
        if manifest["labels"][name] != count:
            yield f"the shards have {count} songs that are {name}, not {manifest['labels'][name]}"
    yield from _cluster_faults(sizes, manifest)


def _misplaced(path: str, songs: Sequence[str], n_shards: int) -> Iterator[str]:
    """Songs in another file than their hash puts them in, or out of order."""
    name = NAME.fullmatch(path)
    if name is None:
        return
    index, n_files = int(name["index"]), int(name["n"])
    places = [(shard_of(song_id, n_shards), song_id) for song_id in songs]
    first, end = song_shards(index, n_files, n_shards)
    odd = [song_id for shard, song_id in places if not first <= shard < end]
    if odd:
        yield f"{path} holds {odd[0]} and {len(odd) - 1} more songs of other files"
    if places != sorted(places):
        yield f"{path} has its songs in another order than they are published in"


def _misnamed(columns: Mapping[str, Sequence[Any]]) -> Iterator[str]:
    """Songs whose cluster or group is named after a song that is not its first."""
    names = ("song_id", "cluster_id", "group_id", COPIES)
    for song_id, cluster, group, copies in zip(*(columns[n] for n in names), strict=True):
        if not group <= cluster <= min([song_id, *copies]):
            yield f"{song_id} is of a cluster or group whose name is not its first song's"


def _cluster_faults(sizes: Sequence[int], manifest: Mapping[str, Any]) -> Iterator[str]:
    """Clusters of which more are in the shards, by size, than the catalog is said to have. (Those
    of which no song is kept, or some failed other rules, are not to be seen.)"""
    claimed = {int(size): count for size, count in manifest["clusters"].items()}
    for least in sorted({size for size in sizes if size > 1}):
        there = sum(size >= least for size in sizes)
        said = sum(count for size, count in claimed.items() if size >= least)
        if there > said:
            yield f"{there} clusters have {least} songs or more, the manifest says {said}"
    if (
        sum(size * count for size, count in claimed.items())
        > manifest["waterfall"]["all"]["in"]
    ):
        yield "the clusters have more songs than there were"
