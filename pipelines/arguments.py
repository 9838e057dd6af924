"""The commands of moodroll-data and their arguments, each with an example that can be
pasted."""

import argparse
from typing import Any

from schemas.code import installed_version
from schemas.labels import QUADRANT_CLASSES

EPILOG = (
    "Everything after -- goes to Apache Beam. "
    "Exit codes: 0 done, 1 the data or a check failed, 2 wrong usage, 130 or 143 stopped."
)

EXAMPLES = {
    "build": "moodroll-data build manifests/builds/lpd5-nottingham.toml --out out/real --set sources.lpd5.root=lpd_5_full",
    "ingest": "moodroll-data ingest manifests/builds/sample.toml --out out/sample",
    "curate": "moodroll-data curate manifests/builds/sample.toml --out out/sample --set filters.sample.min_bars=16",
    "publish": "moodroll-data publish manifests/builds/sample.toml --out out/sample",
    "split": "moodroll-data split manifests/splits/half.toml --corpus out/sample --out out/half",
    "verify": "moodroll-data verify out/sample/release",
    "describe": "moodroll-data describe out/sample/release --json",
    "freeze-spotify": "moodroll-data freeze-spotify unique_tracks.txt --matches lpd_matched_ids.txt --out spotify.parquet",
    "duplicates": "moodroll-data duplicates out/real nottingham:hpps24",
    "inspect": "moodroll-data inspect song.mid --set beats=track",
    "report": "moodroll-data report out/real",
    "export": "moodroll-data export out/sample --to midi --split test --quadrant happy --limit 10",
    "fetch": "moodroll-data fetch nottingham --to data",
}


def parser() -> argparse.ArgumentParser:
    """The commands and their arguments."""
    top = argparse.ArgumentParser(
        "moodroll-data",
        description="Build emotion-labelled symbolic-music datasets.",
        epilog=EPILOG,
        allow_abbrev=False,
    )
    top.add_argument(
        "--version", action="version", version=f"moodroll {installed_version()}"
    )
    commands = top.add_subparsers(dest="command", required=True, metavar="COMMAND")
    for add in (
        _builds,
        _split,
        _releases,
        _inspect,
        _freeze,
        _duplicates,
        _export,
        _fetch,
    ):
        add(commands)
    return top


def _command(commands: Any, name: str, says: str) -> argparse.ArgumentParser:
    command: argparse.ArgumentParser = commands.add_parser(
        name,
        help=says,
        description=f"{says[0].upper()}{says[1:]}.",
        epilog=f"Example: {EXAMPLES[name]}",
        allow_abbrev=False,
    )
    return command


def _settable(command: argparse.ArgumentParser) -> None:
    says = "override one setting; repeatable"
    command.add_argument("--set", action="append", default=[], metavar="a.b=v", help=says)


def _builds(commands: Any) -> None:
    for name, says in (
        ("build", "ingest, curate and publish; goes on where an earlier run stopped"),
        ("ingest", "read the sources into shards of songs"),
        ("curate", "judge every song into the catalog"),
        ("publish", "write the release from songs and catalog"),
    ):
        command = _command(commands, name, says)
        command.add_argument(
            "build", metavar="BUILD.toml", help="settings, see manifests/builds"
        )
        command.add_argument(
            "--out", required=True, metavar="DIR", help="folder of the build"
        )
        if name in ("build", "ingest"):
            says = "look for edited source files by their hashes, not by their times alone"
            command.add_argument("--check", action="store_true", help=says)
        _settable(command)


def _split(commands: Any) -> None:
    says = "a new labelled release of songs that are ingested already"
    command = _command(commands, "split", says)
    command.add_argument(
        "split", metavar="SPLIT.toml", help="settings, see manifests/splits"
    )
    says = "folder of the build whose songs are taken"
    command.add_argument("--corpus", required=True, metavar="DIR", help=says)
    command.add_argument(
        "--out", required=True, metavar="DIR", help="folder of the new release"
    )
    _settable(command)


def _releases(commands: Any) -> None:
    for name, says in (
        ("verify", "check a release byte by byte and song by song"),
        ("describe", "what a release holds"),
        ("report", "write report.html, a page of plots, into a release"),
    ):
        command = _command(commands, name, says)
        command.add_argument(
            "release", metavar="DIR", help="a release, or the folder of a build"
        )
        if name == "describe":
            command.add_argument("--json", action="store_true", help="as JSON")
        if name == "verify":
            says = (
                "the hash that the manifest must have, which no folder can prove of itself"
            )
            command.add_argument(
                "--manifest-sha256", default="", metavar="SHA256", help=says
            )


def _inspect(commands: Any) -> None:
    says = "what the readers make of files: tracks, meters, tempi, keys, or why not"
    command = _command(commands, "inspect", says)
    says = "MIDI, LPD's npz or ABC"
    command.add_argument("files", nargs="+", metavar="FILE", help=says)
    command.add_argument("--json", action="store_true", help="as JSON")
    _settable(command)


def _freeze(commands: Any) -> None:
    says = "MSD tracks to a frozen table of Spotify's valence and energy"
    command = _command(commands, "freeze-spotify", says)
    says = "unique_tracks.txt, summary .h5, folder of .h5, or CSV of tracks"
    command.add_argument("tracks", metavar="TRACKS", help=says)
    says = "the table; TABLE.parquet.journal keeps the place"
    command.add_argument("--out", required=True, metavar="TABLE.parquet", help=says)
    says = "fetch the tracks of a match list alone"
    command.add_argument(
        "--matches", action="append", default=[], metavar="FILE", help=says
    )
    says = "track_id,spotify_id pairs that need no search"
    command.add_argument("--given", default="", metavar="CSV", help=says)
    says = "likeness of title and artist (0.8)"
    command.add_argument(
        "--min-similarity", type=float, default=0.8, metavar="S", help=says
    )
    says = "requests at most (200000)"
    command.add_argument("--budget", type=int, default=200_000, metavar="N", help=says)


def _duplicates(commands: Any) -> None:
    says = "what a song is taken to be a copy of"
    command = _command(commands, "duplicates", says)
    command.add_argument("build", metavar="DIR", help="the folder of a build")
    command.add_argument("song_id", metavar="SONG_ID", help="source:key, as in the catalog")


def _export(commands: Any) -> None:
    command = _command(commands, "export", "songs of a release as MIDI files")
    command.add_argument(
        "release", metavar="DIR", help="a release, or the folder of a build"
    )
    command.add_argument("--to", required=True, metavar="DIR", help="where they are put")
    says = "these songs alone, by song_id"
    command.add_argument("--songs", nargs="+", default=[], metavar="SONG_ID", help=says)
    command.add_argument("--split", default="", metavar="NAME", help="of this split alone")
    says = "of this quadrant alone"
    command.add_argument(
        "--quadrant", default="", choices=list(QUADRANT_CLASSES), help=says
    )
    command.add_argument(
        "--limit", type=int, default=0, metavar="N", help="at most so many (0: all)"
    )


def _fetch(commands: Any) -> None:
    says = "download a pinned source, verify and unpack it"
    command = _command(commands, "fetch", says)
    says = "a name in manifests/sources (list: any other word), or a .toml file"
    command.add_argument("source", metavar="SOURCE", help=says)
    says = "where it is put; its hash is noted there"
    command.add_argument("--to", required=True, metavar="DIR", help=says)
    origin = command.add_mutually_exclusive_group()
    says = "take this file, which a browser downloaded"
    origin.add_argument("--archive", default="", metavar="FILE", help=says)
    says = "download from this address instead of the manifest's"
    origin.add_argument("--url", default="", metavar="URL", help=says)
