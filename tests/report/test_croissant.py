"""croissant: the checker of the specification's own tool is content, and what it
describes is what is there."""

import hashlib
import json
import uuid
from datetime import datetime
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from pipelines.report.croissant import TYPES, croissant
from pipelines.report.lineage import DATED, dated, lineage
from schemas.columns import RELEASE
from schemas.settings import SettingsError

# The checker's own dependencies still use what newer versions of each other call old.
pytestmark = pytest.mark.filterwarnings(
    "ignore::DeprecationWarning", "ignore::FutureWarning", "ignore::UserWarning"
)


def check(path: Path) -> tuple[set[str], set[str]]:
    """(errors, warnings) of the checker."""
    import mlcroissant

    try:
        issues = mlcroissant.Dataset(jsonld=str(path)).metadata.ctx.issues
    except mlcroissant.ValidationError as error:
        return {str(error)}, set()
    return issues.errors, issues.warnings


def test_the_checker_finds_nothing(labelled: Path, unlabelled: Path) -> None:
    for build in (labelled, unlabelled):
        assert check(build / "release" / "croissant.json") == (set(), set())


def test_the_checker_would_find_something(manifest: dict[str, Any], tmp_path: Path) -> None:
    broken = croissant(manifest)
    for one in broken["distribution"]:
        one.pop("sha256", None)
    (tmp_path / "croissant.json").write_text(json.dumps(broken))
    errors, _ = check(tmp_path / "croissant.json")
    assert errors


def test_fields_are_the_schema(manifest: dict[str, Any]) -> None:
    for records in croissant(manifest)["recordSet"]:
        assert [field["name"] for field in records["field"]] == RELEASE.names
        for field, column in zip(records["field"], RELEASE, strict=True):
            item = column.type.value_type if pa.types.is_list(column.type) else column.type
            assert field["description"] == column.metadata[b"description"].decode()
            assert field["dataType"] == TYPES[str(item)]
            assert field.get("isArray", False) == pa.types.is_list(column.type)


def test_hashes_are_those_of_the_files(labelled: Path, manifest: dict[str, Any]) -> None:
    release = labelled / "release"
    shards = [
        one
        for one in croissant(manifest)["distribution"]
        if one["@type"] == "cr:FileObject"
    ]
    data = {f"data/{path.name}" for path in (release / "data").iterdir()}
    assert {one["contentUrl"] for one in shards} == {*data, "vocabulary.json"}
    for one in shards:
        assert (
            one["sha256"]
            == hashlib.sha256((release / one["contentUrl"]).read_bytes()).hexdigest()
        )


def test_the_tool_reads_the_rows(labelled: Path, manifest: dict[str, Any]) -> None:
    import mlcroissant

    dataset = mlcroissant.Dataset(jsonld=str(labelled / "release" / "croissant.json"))
    read = list(dataset.records(record_set="test"))
    wanted = [
        row
        for path in sorted((labelled / "release" / "data").glob("test-*"))
        for row in pq.read_table(path).to_pylist()
    ]
    assert len(read) == len(wanted) == manifest["splits"]["test"]
    for row, other in zip(read, wanted, strict=True):
        assert (
            row["test/song_id"].decode() == other["song_id"]
            and list(row["test/remi"]) == other["remi"]
        )


def test_version_moves_with_the_bytes(manifest: dict[str, Any]) -> None:
    before = croissant(manifest)
    assert before == croissant(manifest)
    manifest["shards"][0]["sha256"] = "0" * 64
    assert croissant(manifest)["version"] != before["version"]


def test_lineage_has_the_shape_of_a_run_event(manifest: dict[str, Any]) -> None:
    event = lineage(manifest)
    # What the specification's RunEvent requires, and what it may have.
    assert event.keys() == {
        "eventTime",
        "producer",
        "schemaURL",
        "run",
        "job",
        "eventType",
        "inputs",
        "outputs",
    }
    assert datetime.fromisoformat(event["eventTime"]).tzinfo and uuid.UUID(
        event["run"]["runId"]
    )
    assert manifest["lineage"] == event
    rows = {
        one["name"]: one["outputFacets"]["outputStatistics"]["rowCount"]
        for one in event["outputs"]
    }
    assert rows == {f"tiny/{split}": n for split, n in manifest["splits"].items()}
    pins = [*manifest["ingest"]["pins"], *manifest["metadata"]["pins"]]
    assert [one["facets"]["moodroll_pin"]["sha256"] for one in event["inputs"]] == [
        pin["sha256"] for pin in pins
    ]
    for facets in [
        event["run"]["facets"],
        *(one["facets"] for one in [*event["inputs"], *event["outputs"]]),
    ]:
        assert all(facet.keys() >= {"_producer", "_schemaURL"} for facet in facets.values())


def test_a_release_is_dated_by_the_environment_or_by_the_version_never_by_the_clock(
    manifest: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("SOURCE_DATE_EPOCH", raising=False)
    assert dated() == DATED
    monkeypatch.setenv("SOURCE_DATE_EPOCH", "1700000000")
    assert dated() == "2023-11-14T22:13:20Z"
    moved = {**manifest, "dated": dated()}
    assert (
        lineage(moved)["eventTime"] == dated()
        and croissant(moved)["datePublished"] == "2023-11-14"
    )
    for wrong in ("soon", "1e9", "9" * 30):
        monkeypatch.setenv("SOURCE_DATE_EPOCH", wrong)
        with pytest.raises(SettingsError, match="SOURCE_DATE_EPOCH must be seconds"):
            dated()


def test_the_run_is_another_where_another_thing_was_asked(manifest: dict[str, Any]) -> None:
    before = lineage(manifest)["run"]["runId"]
    manifest["config"]["seed"] += 1
    assert lineage(manifest)["run"]["runId"] != before
