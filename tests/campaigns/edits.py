"""Edit a release in every way that comes to mind, hashes made to fit where an editor might, and ask
`verify`: each edit is found, or is named as one that nothing in a folder can prove, and is then
found by `--manifest-sha256`.

    python tests/campaigns/edits.py --work EMPTY_FOLDER --seed 1 --number 120

A campaign: run by hand, no part of `make test`.
"""

import argparse
import hashlib
import json
import random
import shutil
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
from wild import small_release, spoil

from pipelines.manifest_checks import manifest_sha256, report_facts
from pipelines.report.lineage import lineage
from pipelines.report.sidecars import write_side_files
from pipelines.verify import verify
from schemas.columns import RELEASE
from schemas.manifest import to_json
from schemas.settings import SettingsError

Edit = Callable[[Path, random.Random], str]


def shard_of(release: Path, chance: random.Random) -> Path:
    """A shard that has songs."""
    paths = sorted((release / "data").iterdir())
    return chance.choice([path for path in paths if pq.read_metadata(path).num_rows])


def bytes_changed(release: Path, chance: random.Random) -> str:
    """Any file, spoilt and no more."""
    path = chance.choice(sorted(path for path in release.rglob("*") if path.is_file()))
    before = path.read_bytes()
    after = spoil(before, chance)
    while after == before:
        after = spoil(before, chance)
    path.write_bytes(after)
    return f"bytes of {path.name}"


def file_gone(release: Path, chance: random.Random) -> str:
    """Any file but the manifest, taken away."""
    paths = [
        p for p in sorted(release.rglob("*")) if p.is_file() and p.name != "manifest.json"
    ]
    path = chance.choice(paths)
    path.unlink()
    return f"{path.name} gone"


def file_more(release: Path, chance: random.Random) -> str:
    """A file that nobody published."""
    place = chance.choice(
        ("data/train-00000-of-00009.parquet", "data/x", "notes.txt", "more/a.parquet")
    )
    (release / place).parent.mkdir(exist_ok=True)
    shutil.copy(shard_of(release, chance), release / place)
    return f"{place} more"


def row_edited(release: Path, chance: random.Random) -> str:
    """A value of a row, with shard, hashes, card and lineage made to fit."""
    path = shard_of(release, chance)
    rows = pq.read_table(path).to_pylist()
    row, name = chance.choice(rows), chance.choice(RELEASE.names)
    row[name] = another(row[name], RELEASE.field(name).type, chance)
    pq.write_table(pa.Table.from_pylist(rows, RELEASE), path)
    refit(release)
    return f"{name} of a row"


def another(value: Any, kind: pa.DataType, chance: random.Random) -> Any:
    """A value of the same kind that is not this one."""
    if pa.types.is_list(kind):
        if not value:
            return [another(None, kind.value_type, chance)]
        at = chance.randrange(len(value))
        return [*value[:at], another(value[at], kind.value_type, chance), *value[at + 1 :]]
    if pa.types.is_boolean(kind):
        return not value
    if pa.types.is_integer(kind):
        return 1 if value is None else (value + 1) % 100
    if pa.types.is_floating(kind):
        return 0.25 if value is None else value / 2 + 0.1
    return f"{value or 'x'}z"


def rows_moved(release: Path, chance: random.Random) -> str:
    """Rows dropped, doubled, turned about, or moved to another split."""
    path = shard_of(release, chance)
    rows = pq.read_table(path).to_pylist()
    how = chance.choice(
        ("dropped", "doubled", "moved") + (("turned",) if len(rows) > 1 else ())
    )
    row = rows.pop(chance.randrange(len(rows))) if how in ("dropped", "moved") else rows[0]
    if how == "doubled":
        rows.append(row)
    elif how == "turned":
        rows.reverse()
    elif how == "moved":
        others = [
            p for p in sorted((release / "data").iterdir()) if p.name[:3] != path.name[:3]
        ]
        other = chance.choice(others)
        there = [
            *pq.read_table(other).to_pylist(),
            {**row, "split": other.name.split("-")[0]},
        ]
        there.sort(key=lambda one: one["song_id"])
        pq.write_table(pa.Table.from_pylist(there, RELEASE), other)
    pq.write_table(pa.Table.from_pylist(rows, RELEASE), path)
    refit(release)
    return f"rows {how}"


def shards_swapped(release: Path, chance: random.Random) -> str:
    """Two shards under each other's names."""
    one, other = chance.sample(sorted((release / "data").iterdir()), 2)
    first, second = one.read_bytes(), other.read_bytes()
    one.write_bytes(second)
    other.write_bytes(first)
    if chance.random() < 0.7:
        refit(release)
    return "shards swapped"


def manifest_edited(release: Path, chance: random.Random) -> str:
    """A value anywhere in the manifest, with all that hangs on it made to fit, or not."""
    path = release / "manifest.json"
    manifest = json.loads(path.read_text())
    place: Any = manifest
    names = []
    key: Any = chance.choice(
        [name for name in manifest if name not in ("lineage", "columns")]
    )
    while True:
        names.append(str(key))
        inner = place[key]
        if not isinstance(inner, dict | list) or not inner or chance.random() < 0.1:
            break
        place = inner
        key = chance.choice(list(place) if isinstance(place, dict) else range(len(place)))
    value = place[key]
    if isinstance(value, bool) or value is None:
        place[key] = chance.choice((3, "x", [], not value))
    elif isinstance(value, int | float):
        place[key] = value + 1
    elif isinstance(value, str):
        place[key] = chance.choice((value + "x", 3, None, ""))
    else:
        place[key] = chance.choice((None, 3, "x", [value]))
    path.write_text(json.dumps(manifest))
    fits = chance.random() < 0.6
    if fits:
        try:
            refit(release, count=False)
        except Exception:  # such a manifest has no card
            fits = False
    return f"manifest {'.'.join(names)}{' refitted' if fits else ''}"


def refit(release: Path, count: bool = True) -> None:
    """Make hashes, lineage, card, Croissant file and report's hash fit what is there."""
    path = release / "manifest.json"
    manifest = json.loads(path.read_text())
    for shard in manifest["shards"] if count else []:
        data = (release / shard["path"]).read_bytes()
        rows = pq.read_metadata(release / shard["path"]).num_rows
        shard.update(bytes=len(data), sha256=hashlib.sha256(data).hexdigest(), rows=rows)
    if count:
        for split in manifest["splits"]:
            mine = [
                shard["rows"] for shard in manifest["shards"] if shard["split"] == split
            ]
            manifest["splits"][split] = sum(mine)
    manifest["lineage"] = lineage(manifest)
    manifest["report"] = report_facts(str(release))
    write_side_files(str(release), manifest)
    path.write_text(to_json(manifest))


EDITS: tuple[tuple[int, Edit], ...] = (
    (3, bytes_changed), (1, file_gone), (1, file_more), (6, row_edited), (2, rows_moved),
    (1, shards_swapped), (6, manifest_edited),
)  # fmt: skip


def campaign(work: Path, seed: int, number: int) -> dict[str, list[str]]:
    """Every edit under found, unprovable (the manifest's own hash finds it) or missed."""
    sound = small_release(work)
    own, spoilt = manifest_sha256(str(sound)), work / "edited"
    assert verify(str(sound)) == [], "the release that is edited must be sound"
    chance = random.Random(seed)
    came: dict[str, list[str]] = {"found": [], "unprovable": [], "missed": [], "raised": []}
    before = {
        path.relative_to(sound): path.read_bytes()
        for path in sound.rglob("*")
        if path.is_file()
    }
    while sum(map(len, came.values())) < number:
        shutil.rmtree(spoilt, ignore_errors=True)
        shutil.copytree(sound, spoilt)
        weights = [weight for weight, _ in EDITS]
        says = chance.choices([edit for _, edit in EDITS], weights)[0](spoilt, chance)
        after = {
            path.relative_to(spoilt): path.read_bytes()
            for path in spoilt.rglob("*")
            if path.is_file()
        }
        if after == before:
            continue
        came[judged(spoilt, own)].append(says)
    return came


def judged(release: Path, own: str) -> str:
    """What verify makes of an edited release."""
    try:
        if verify(str(release)):
            return "found"
        return "unprovable" if verify(str(release), own) else "missed"
    except SettingsError:
        return "found"
    except Exception as error:
        print(f"verify raised {type(error).__name__}: {error}")
        return "raised"


def main() -> int:
    """The campaign from the command line; 1 where an edit was missed."""
    arguments = argparse.ArgumentParser(description=__doc__)
    arguments.add_argument("--work", type=Path, required=True)
    arguments.add_argument("--seed", type=int, default=1)
    arguments.add_argument("--number", type=int, default=120)
    given = arguments.parse_args()
    given.work.mkdir(parents=True, exist_ok=True)
    came = campaign(given.work, given.seed, given.number)
    for name, edits in came.items():
        print(f"{name}: {len(edits)}")
        if name != "found":
            print("".join(f"  {says}\n" for says in sorted(edits)), end="")
    return int(bool(came["missed"] or came["raised"]))


if __name__ == "__main__":
    sys.exit(main())
