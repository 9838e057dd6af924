"""lineage: what went in, what ran and what came out, in the shape of an OpenLineage run
event.

OpenLineage (openlineage.io, spec 2-0-2) asks an event for the time it happened. With the
clock in it the same build would not give the same bytes: `eventTime` is the moment that the
release says it is of (`dated`).
"""

import os
import uuid
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

from pipelines.works import CORPORA
from schemas.manifest import canonical_sha256
from schemas.settings import SettingsError

# The date of the moodroll version that makes a release.
DATED = "2026-11-20T00:00:00Z"
PRODUCER = "urn:moodroll:publish"
SCHEMA = "https://openlineage.io/spec/2-0-2/OpenLineage.json#/$defs/RunEvent"
FACET = "https://openlineage.io/spec/facets/{version}/{name}.json#/$defs/{name}"
NAMESPACE = "moodroll"


def dated() -> str:
    """The moment a release says it is of: SOURCE_DATE_EPOCH (reproducible-builds.org)
    where it is set, else DATED."""
    epoch = os.environ.get("SOURCE_DATE_EPOCH", "")
    if not epoch:
        return DATED
    try:
        return f"{datetime.fromtimestamp(int(epoch), UTC):%Y-%m-%dT%H:%M:%SZ}"
    except (ValueError, OverflowError, OSError) as error:
        raise SettingsError(
            f"SOURCE_DATE_EPOCH must be seconds since 1970, not {epoch!r}: set it so or unset it"
        ) from error


def lineage(manifest: Mapping[str, Any]) -> dict[str, Any]:
    """The run event of a manifest that has its shards: a function of the manifest alone.

    The run's id is made of what was asked and what was read, so that the same build has the
    same one. Pins are facets of our own (`moodroll_pin`), which OpenLineage allows under a
    prefix.
    """
    asked = canonical_sha256(
        {name: manifest[name] for name in ("config", "ingest", "metadata", "versions")}
    )
    music = [_input(pin, {"songs": pin["items"]}) for pin in manifest["ingest"]["pins"]]
    tables = [_input(pin, {"bytes": pin["items"]}) for pin in manifest["metadata"]["pins"]]
    return {
        "eventType": "COMPLETE",
        "eventTime": manifest["dated"],
        "producer": PRODUCER,
        "schemaURL": SCHEMA,
        "run": {
            "runId": str(uuid.uuid5(uuid.NAMESPACE_URL, asked)),
            "facets": {"moodroll_build": _own(sha256=asked)},
        },
        "job": {"namespace": NAMESPACE, "name": f"publish {manifest['name']}"},
        "inputs": [*music, *tables],
        "outputs": [_output(manifest, split) for split in manifest["splits"]],
    }


def _input(pin: Mapping[str, Any], size: Mapping[str, int]) -> dict[str, Any]:
    facets = {"moodroll_pin": _own(sha256=pin["sha256"], **size)}
    works = CORPORA.get(pin["name"], ())
    if works:
        facets["moodroll_licence"] = _own(
            licences=[{"name": work.name, "licence": work.licence_name} for work in works]
        )
    return {"namespace": NAMESPACE, "name": pin["name"], "facets": facets}


def _output(manifest: Mapping[str, Any], split: str) -> dict[str, Any]:
    shards = [shard for shard in manifest["shards"] if shard["split"] == split]
    fields = [{"name": name, **facts} for name, facts in manifest["columns"].items()]
    return {
        "namespace": NAMESPACE,
        "name": f"{manifest['name']}/{split}",
        "facets": {
            "schema": {**_facet("SchemaDatasetFacet", "1-1-1"), "fields": fields},
            "moodroll_pin": _own(
                sha256=canonical_sha256(
                    [[shard["path"], shard["sha256"]] for shard in shards]
                )
            ),
        },
        "outputFacets": {
            "outputStatistics": {
                **_facet("OutputStatisticsOutputDatasetFacet", "1-0-2"),
                "rowCount": sum(shard["rows"] for shard in shards),
                "size": sum(shard["bytes"] for shard in shards),
                "fileCount": len(shards),
            }
        },
    }


def _facet(name: str, version: str) -> dict[str, Any]:
    return {"_producer": PRODUCER, "_schemaURL": FACET.format(name=name, version=version)}


def _own(**facts: Any) -> dict[str, Any]:
    """A facet of ours: OpenLineage asks every facet for its producer and its schema."""
    return {
        "_producer": PRODUCER,
        "_schemaURL": f"{SCHEMA.partition('#')[0]}#/$defs/BaseFacet",
        **facts,
    }
