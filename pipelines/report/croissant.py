"""croissant: a release described to programs, as Croissant 1.1 JSON-LD
(docs.mlcommons.org/croissant).

Every shard is a FileObject with its sha256, every split a FileSet that gathers its shards
by their names and a RecordSet of typed fields. Addresses are relative to the file, so that
a release may be moved.
"""

import hashlib
from collections.abc import Iterator, Mapping
from typing import Any

from pipelines.report import citations
from pipelines.report.vocabulary import VOCABULARY, vocabulary
from schemas.manifest import canonical_sha256, to_json

CROISSANT = "croissant.json"
# The name that the Croissant examples use and its reader knows.
PARQUET = "application/x-parquet"
# Arrow's scalar types, as str() gives them, to Croissant's.
TYPES = {
    "string": "sc:Text", "bool": "sc:Boolean", "float": "cr:Float32", "double": "cr:Float64", "int8": "cr:Int8",
    "uint8": "cr:UInt8", "uint16": "cr:UInt16", "int32": "cr:Int32", "int64": "cr:Int64", "uint64": "cr:UInt64",
}  # fmt: skip
_OWN_TERMS = (
    "arrayShape", "citeAs", "column", "containedIn", "equivalentProperty", "extract", "field", "fileProperty", "fileObject",
    "fileSet", "format", "includes", "isArray", "isLiveDataset", "jsonPath", "key", "md5", "parentField", "path", "recordSet",
    "references", "regex", "repeated", "replace", "samplingRate", "separator", "source", "subField", "transform",
)  # fmt: skip
# The context that the Croissant 1.1 specification asks every file to carry.
CONTEXT: dict[str, Any] = {
    "@language": "en",
    "@vocab": "https://schema.org/",
    "cr": "http://mlcommons.org/croissant/",
    "rai": "http://mlcommons.org/croissant/RAI/",
    "dct": "http://purl.org/dc/terms/",
    "sc": "https://schema.org/",
    "conformsTo": "dct:conformsTo",
    "data": {"@id": "cr:data", "@type": "@json"},
    "dataType": {"@id": "cr:dataType", "@type": "@vocab"},
    "examples": {"@id": "cr:examples", "@type": "@json"},
    "description": {"@container": "@language"},
    "name": {"@container": "@language"},
    **{term: f"cr:{term}" for term in _OWN_TERMS},
}


def croissant(manifest: Mapping[str, Any]) -> dict[str, Any]:
    """The Croissant file of a manifest; the same manifest gives the same one."""
    shards = manifest["shards"]
    rows = sum(manifest["splits"].values())
    return {
        "@context": CONTEXT,
        "@type": "sc:Dataset",
        "conformsTo": "http://mlcommons.org/croissant/1.1",
        "name": manifest["name"],
        "description": f"{rows:,} songs of symbolic music, {manifest['labels']['labelled']:,} of them with valence and "
        "arousal: notes, bars, tempo, REMI tokens, rhythm and key. A tick is 1/24 of a quarter note.",
        "version": version(manifest),
        "datePublished": manifest["dated"].partition("T")[0],
        "license": [
            work.licence_url or work.licence_name for work in citations.licences(manifest)
        ],
        "citeAs": " ".join(work.citation for work in citations.works(manifest)),
        "creator": [{"@type": "sc:Organization", "name": "moodroll"}],
        "keywords": [
            "music",
            "symbolic music",
            "MIDI",
            "REMI",
            "emotion",
            "valence",
            "arousal",
        ],
        "isBasedOn": [work.url for work in citations.works(manifest) if work.url],
        "isLiveDataset": False,
        "rai:dataLimitations": citations.flaws(manifest),
        "distribution": [
            *map(_file, shards),
            _vocabulary(),
            *(_file_set(split) for split in manifest["splits"]),
        ],
        "recordSet": [
            {
                "@type": "cr:RecordSet",
                "@id": split,
                "name": split,
                "description": f"{n:,} songs of the {split} split, a row each",
                "key": {"@id": f"{split}/song_id"},
                "field": list(_fields(manifest, split)),
            }
            for split, n in manifest["splits"].items()
        ],
    }


def version(manifest: Mapping[str, Any]) -> str:
    """A release's version: its schema's, and the first digits of a hash of its shards."""
    return f"{manifest['schema_version']}.0.0+{canonical_sha256(manifest['shards'])[:12]}"


def _file(shard: Mapping[str, Any]) -> dict[str, Any]:
    return {
        "@type": "cr:FileObject",
        "@id": shard["path"],
        "name": shard["path"].rpartition("/")[2],
        "description": f"{shard['rows']:,} songs of the {shard['split']} split",
        "contentUrl": shard["path"],
        "contentSize": f"{shard['bytes']} B",
        "encodingFormat": PARQUET,
        "sha256": shard["sha256"],
    }


def _vocabulary() -> dict[str, Any]:
    data = to_json(vocabulary()).encode()
    return {
        "@type": "cr:FileObject",
        "@id": VOCABULARY,
        "name": VOCABULARY,
        "description": "the names of the token ids in the column remi, and the rule of a bar",
        "contentUrl": VOCABULARY,
        "contentSize": f"{len(data)} B",
        "encodingFormat": "application/json",
        "sha256": hashlib.sha256(data).hexdigest(),
    }


def _file_set(split: str) -> dict[str, Any]:
    return {
        "@type": "cr:FileSet",
        "@id": f"{split}-shards",
        "name": f"{split}-shards",
        "description": f"the Parquet files of the {split} split",
        "encodingFormat": PARQUET,
        "includes": f"data/{split}-*.parquet",
    }


def _fields(manifest: Mapping[str, Any], split: str) -> Iterator[dict[str, Any]]:
    """A field for each column, list columns as arrays of one open dimension."""
    for name, facts in manifest["columns"].items():
        item = (
            facts["type"].removeprefix("list<item: ").partition(" not null")[0].rstrip(">")
        )
        is_list = facts["type"].startswith("list<")
        yield {
            "@type": "cr:Field",
            "@id": f"{split}/{name}",
            "name": name,
            "description": facts["description"],
            "dataType": TYPES[item],
            **({"isArray": True, "arrayShape": "-1"} if is_list else {}),
            "source": {"fileSet": {"@id": f"{split}-shards"}, "extract": {"column": name}},
        }
