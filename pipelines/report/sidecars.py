"""Sidecars: the files of a release that its manifest alone decides, written by publish
and made again by verify."""

from collections.abc import Iterator, Mapping
from typing import Any

from pipelines.io import files
from pipelines.report.card import CARD, card
from pipelines.report.croissant import CROISSANT, croissant
from pipelines.report.vocabulary import VOCABULARY, vocabulary
from schemas.manifest import to_json


def side_files(manifest: Mapping[str, Any]) -> dict[str, str]:
    """The files that a manifest alone decides, by name: what publish writes and verify
    makes again to compare."""
    return {
        CARD: card(manifest),
        CROISSANT: to_json(croissant(manifest)),
        VOCABULARY: to_json(vocabulary()),
    }


def write_side_files(release: str, manifest: Mapping[str, Any]) -> None:
    """Put card and Croissant file beside the manifest."""
    for name, text in side_files(manifest).items():
        files.write_text(files.join(release, name), text)


def side_faults(release: str, manifest: Mapping[str, Any]) -> Iterator[str]:
    """A sentence for every side file that is missing or is not what the manifest gives."""
    for name, text in side_files(manifest).items():
        path = files.join(release, name)
        if not files.exists(path):
            yield f"{name} is missing"
        elif files.read_bytes(path) != text.encode():
            yield f"{name} is not what the manifest gives"
