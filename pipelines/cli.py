"""moodroll-data: parse, load the settings, hand them down; errors become one sentence
and an exit code."""

import argparse
import json
import logging
import os
import sys
from collections.abc import Sequence
from typing import TYPE_CHECKING

from pipelines.arguments import parser
from schemas.reject import BuildFailed
from schemas.settings import SettingsError

if TYPE_CHECKING:
    from pipelines.config import BuildConfig

DONE, FAILED, USAGE = 0, 1, 2
MOST_PROBLEMS = 40


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command; 0 done, 1 the data or a check failed, 2 wrong usage."""
    argv = list(sys.argv[1:] if argv is None else argv)
    end = argv.index("--") if "--" in argv else len(argv)
    ours, beam_args = argv[:end], argv[end + 1 :]
    arguments = parser().parse_args(ours)
    # Pages are imported by the commands that need them: help is quick, and Beam is told to
    # be quiet before it starts.
    logging.disable(logging.WARNING)
    try:
        code = RUN[arguments.command](arguments, beam_args)
        # A reader that has gone, as head does, is noticed here at the latest
        sys.stdout.flush()
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
    from pipelines.layout import read_lock
    from pipelines.publish import publish
    from pipelines.registry import SOURCES

    config = load_split(
        arguments.split,
        arguments.set,
        list(read_lock(arguments.corpus).read),
        list(SOURCES),
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
    print(
        json.dumps(facts, indent=2)
        if arguments.json
        else describe_text(facts, terminal_width())
    )
    return DONE


def run_report(arguments: argparse.Namespace, beam_args: Sequence[str]) -> int:
    from pipelines.layout import find_release, read_manifest
    from pipelines.report.page import build_around, write_report

    release = find_release(arguments.release)
    write_report(release, read_manifest(release), build_around(release))
    print(f"{release}/report.html")
    return DONE


def run_inspect(arguments: argparse.Namespace, beam_args: Sequence[str]) -> int:
    from pipelines.inspect import inspect, inspect_text

    entries = inspect(arguments.files, arguments.set)
    print(
        json.dumps(entries, indent=2, ensure_ascii=False)
        if arguments.json
        else inspect_text(entries)
    )
    return FAILED if any("refused" in entry for entry in entries) else DONE


def run_duplicates(arguments: argparse.Namespace, beam_args: Sequence[str]) -> int:
    from pipelines.duplicates import duplicates, duplicates_text

    print(
        duplicates_text(duplicates(arguments.build, arguments.song_id), arguments.song_id)
    )
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


RUN = {
    "build": run_build,
    "ingest": run_ingest,
    "curate": run_curate,
    "publish": run_publish,
    "split": run_split,
    "verify": run_verify,
    "describe": run_describe,
    "report": run_report,
    "inspect": run_inspect,
    "duplicates": run_duplicates,
    "freeze-spotify": run_freeze,
    "fetch": run_fetch,
}

if __name__ == "__main__":
    sys.exit(main())
