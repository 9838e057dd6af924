"""moodroll-data: parse, load the settings, hand them down; errors become one sentence and an
exit code."""

import argparse
import json
import logging
import os
import sys
from collections.abc import Sequence
from typing import TYPE_CHECKING

from schemas.reject import BuildFailed
from schemas.settings import SettingsError

if TYPE_CHECKING:
    from pipelines.config import BuildConfig

DONE, FAILED, USAGE = 0, 1, 2
MOST_PROBLEMS = 40

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
    "report": "moodroll-data report out/real",
    "fetch": "moodroll-data fetch nottingham --to data",
}


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command; 0 done, 1 the data or a check failed, 2 wrong usage."""
    argv = list(sys.argv[1:] if argv is None else argv)
    ours, beam_args = (
        (argv[: argv.index("--")], argv[argv.index("--") + 1 :]) if "--" in argv else (argv, [])
    )
    arguments = parser().parse_args(ours)
    # Pages are imported by the commands that need them: help is quick, and Beam is told to be quiet
    # before it starts.
    logging.disable(logging.WARNING)
    try:
        code = arguments.run(arguments, beam_args)
        sys.stdout.flush()  # a reader that has gone, as head does, is noticed here at the latest
        return code
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return FAILED
    except SettingsError as error:
        print(f"moodroll-data {arguments.command}: {error}", file=sys.stderr)
        return USAGE
    except BuildFailed as error:
        print(f"moodroll-data {arguments.command}: {error}", file=sys.stderr)
        return FAILED


def parser() -> argparse.ArgumentParser:
    """The commands and their arguments."""
    top = argparse.ArgumentParser(
        "moodroll-data", description="Build emotion-labelled symbolic-music datasets.", allow_abbrev=False,
        epilog="Everything after -- goes to Apache Beam. Exit codes: 0 done, 1 the data or a check failed, 2 wrong usage.",
    )  # fmt: skip
    commands = top.add_subparsers(dest="command", required=True, metavar="COMMAND")
    for name, run, says in (
        ("build", run_build, "ingest, curate and publish; goes on where an earlier run stopped"),
        ("ingest", run_ingest, "read the sources into shards of songs"),
        ("curate", run_curate, "judge every song into the catalog"),
        ("publish", run_publish, "write the release from songs and catalog"),
    ):
        command = _command(commands, name, run, says)
        command.add_argument("build", metavar="BUILD.toml", help="settings, see manifests/builds")
        command.add_argument("--out", required=True, metavar="DIR", help="folder of the build")
        command.add_argument(
            "--set",
            action="append",
            default=[],
            metavar="a.b=v",
            help="override one setting; repeatable",
        )
    command = _command(
        commands, "split", run_split, "a new labelled release of songs that are ingested already"
    )
    command.add_argument("split", metavar="SPLIT.toml", help="settings, see manifests/splits")
    command.add_argument(
        "--corpus", required=True, metavar="DIR", help="folder of the build whose songs are taken"
    )
    command.add_argument("--out", required=True, metavar="DIR", help="folder of the new release")
    command.add_argument(
        "--set",
        action="append",
        default=[],
        metavar="a.b=v",
        help="override one setting; repeatable",
    )
    for name, run, says in (
        ("verify", run_verify, "check a release byte by byte and song by song"),
        ("describe", run_describe, "what a release holds"),
    ):
        command = _command(commands, name, run, says)
        command.add_argument("release", metavar="DIR", help="a release, or the folder of a build")
    command.add_argument("--json", action="store_true", help="as JSON")
    command = _command(
        commands, "report", run_report, "write report.html, a page of plots, into a release"
    )
    command.add_argument("release", metavar="DIR", help="a release, or the folder of a build")
    command = _command(
        commands,
        "freeze-spotify",
        run_freeze,
        "MSD tracks to a frozen table of Spotify's valence and energy",
    )
    command.add_argument(
        "tracks",
        metavar="TRACKS",
        help="unique_tracks.txt, summary .h5, folder of .h5, or CSV of tracks",
    )
    command.add_argument(
        "--out",
        required=True,
        metavar="TABLE.parquet",
        help="the table; TABLE.parquet.journal keeps the place",
    )
    command.add_argument(
        "--matches",
        action="append",
        default=[],
        metavar="FILE",
        help="fetch the tracks of a match list alone",
    )
    command.add_argument(
        "--given", default="", metavar="CSV", help="track_id,spotify_id pairs that need no search"
    )
    command.add_argument(
        "--min-similarity",
        type=float,
        default=0.8,
        metavar="S",
        help="likeness of title and artist (0.8)",
    )
    command.add_argument(
        "--budget", type=int, default=200_000, metavar="N", help="requests at most (200000)"
    )
    command = _command(
        commands, "duplicates", run_duplicates, "what a song is taken to be a copy of"
    )
    command.add_argument("build", metavar="DIR", help="the folder of a build")
    command.add_argument("song_id", metavar="SONG_ID", help="source:key, as in the catalog")
    command = _command(
        commands, "fetch", run_fetch, "download a pinned source, verify and unpack it"
    )
    command.add_argument(
        "source",
        metavar="SOURCE",
        help="a name in manifests/sources (list: any other word), or a .toml file",
    )
    command.add_argument(
        "--to", required=True, metavar="DIR", help="where it is put; its hash is noted there"
    )
    origin = command.add_mutually_exclusive_group()
    origin.add_argument(
        "--archive", default="", metavar="FILE", help="take this file, which a browser downloaded"
    )
    origin.add_argument(
        "--url",
        default="",
        metavar="URL",
        help="download from this address instead of the manifest's",
    )
    return top


def _command(
    commands: "argparse._SubParsersAction[argparse.ArgumentParser]",
    name: str,
    run: object,
    says: str,
) -> argparse.ArgumentParser:
    command = commands.add_parser(
        name,
        help=says,
        description=f"{says[0].upper()}{says[1:]}.",
        epilog=f"Example: {EXAMPLES[name]}",
        allow_abbrev=False,
    )
    command.set_defaults(run=run)
    return command


def _load(arguments: argparse.Namespace) -> "BuildConfig":
    from pipelines.config import load
    from pipelines.registry import SOURCES

    return load(arguments.build, arguments.set, SOURCES)


def run_build(arguments: argparse.Namespace, beam_args: Sequence[str]) -> int:
    from pipelines.curate import curate
    from pipelines.describe import describe, describe_text, terminal_width
    from pipelines.ingest import ingest
    from pipelines.publish import publish

    config = _load(arguments)
    ingest(config, arguments.out, beam_args)
    curate(config, arguments.out, arguments.out, beam_args)
    publish(arguments.out, arguments.out, beam_args)
    print(describe_text(describe(arguments.out), terminal_width()))
    return DONE


def run_ingest(arguments: argparse.Namespace, beam_args: Sequence[str]) -> int:
    from pipelines.ingest import ingest

    lock = ingest(_load(arguments), arguments.out, beam_args)
    for name in lock.read:
        print(
            f"{name}: {lock.read[name]} read, {lock.kept[name]} kept, {lock.rejected[name]} rejected {lock.reasons[name] or ''}"
        )
    return DONE


def run_curate(arguments: argparse.Namespace, beam_args: Sequence[str]) -> int:
    from pipelines.curate import curate

    curated = curate(_load(arguments), arguments.out, arguments.out, beam_args)
    print(json.dumps(curated["waterfall"], indent=2))
    return DONE


def run_publish(arguments: argparse.Namespace, beam_args: Sequence[str]) -> int:
    from pipelines.describe import describe, describe_text, terminal_width
    from pipelines.publish import publish, refuse_other_settings

    refuse_other_settings(_load(arguments), arguments.out)
    publish(arguments.out, arguments.out, beam_args)
    print(describe_text(describe(arguments.out), terminal_width()))
    return DONE


def run_split(arguments: argparse.Namespace, beam_args: Sequence[str]) -> int:
    from pipelines.config import load_split
    from pipelines.curate import curate, refuse_taken
    from pipelines.describe import describe, describe_text, terminal_width
    from pipelines.ingest import read_lock
    from pipelines.publish import publish
    from pipelines.registry import SOURCES

    config = load_split(
        arguments.split, arguments.set, list(read_lock(arguments.corpus).read), list(SOURCES)
    )
    refuse_taken(arguments.out, arguments.corpus)
    curate(config, arguments.corpus, arguments.out, beam_args)
    publish(arguments.corpus, arguments.out, beam_args)
    print(describe_text(describe(arguments.out), terminal_width()))
    return DONE


def run_verify(arguments: argparse.Namespace, beam_args: Sequence[str]) -> int:
    from pipelines.verify import verify

    problems = verify(arguments.release)
    for problem in problems[:MOST_PROBLEMS]:
        print(problem)
    if problems:
        print(f"{len(problems)} problems: this is not the release that was published")
        return FAILED
    print("ok")
    return DONE


def run_describe(arguments: argparse.Namespace, beam_args: Sequence[str]) -> int:
    from pipelines.describe import describe, describe_text, terminal_width

    facts = describe(arguments.release)
    print(json.dumps(facts, indent=2) if arguments.json else describe_text(facts, terminal_width()))
    return DONE


def run_report(arguments: argparse.Namespace, beam_args: Sequence[str]) -> int:
    from pipelines.describe import find_release, read_manifest
    from pipelines.report.page import build_around, write_report

    release = find_release(arguments.release)
    write_report(release, read_manifest(release), build_around(release))
    print(f"{release}/report.html")
    return DONE


def run_duplicates(arguments: argparse.Namespace, beam_args: Sequence[str]) -> int:
    from pipelines.duplicates import duplicates, duplicates_text

    print(duplicates_text(duplicates(arguments.build, arguments.song_id), arguments.song_id))
    return DONE


def run_freeze(arguments: argparse.Namespace, beam_args: Sequence[str]) -> int:
    from pipelines.freeze import freeze_spotify

    table = freeze_spotify(
        arguments.tracks,
        arguments.matches,
        arguments.given,
        arguments.out,
        arguments.min_similarity,
        arguments.budget,
    )
    print(
        f"{arguments.out}: {table.num_rows:,} tracks, {table.num_rows - table['valence'].null_count:,} with values"
    )
    return DONE


def run_fetch(arguments: argparse.Namespace, beam_args: Sequence[str]) -> int:
    from pipelines.fetch.download import Manners
    from pipelines.fetch.fetch import fetch, fetched_text

    source, fetched, was_there = fetch(
        arguments.source, arguments.to, arguments.archive, arguments.url, Manners()
    )
    print(fetched_text(source, fetched, arguments.to, was_there))
    return DONE
