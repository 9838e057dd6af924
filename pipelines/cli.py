"""moodroll-data: parse, load the settings, hand them down; errors become one sentence
and an exit code."""

import argparse
import json
import logging
import os
import re
import sys
from collections.abc import Sequence
from typing import TYPE_CHECKING

from pipelines.arguments import parser
from schemas.reject import BuildFailed
from schemas.settings import SettingsError
from schemas.working import AGAIN, GOES_ON, working

if TYPE_CHECKING:
    from pipelines.config import BuildConfig

DONE, FAILED, USAGE = 0, 1, 2
# Commands that use what they had done when they were stopped
GO_ON = ("build", "ingest", "curate", "publish", "split", "fetch", "freeze-spotify")
# The last line of the traceback of an OSError, of whatever kind
_FAULT = re.compile(
    r"^\w+Error: \[Errno \d+\] ([^:\n\[]+?)(?:: '([^'\n]*)'.*?)?(?: \[while .*)?$", re.M
)
MOST_PROBLEMS = 40


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command; 0 done, 1 the data or a check failed, 2 wrong usage, 130 or 143
    stopped."""
    argv = list(sys.argv[1:] if argv is None else argv)
    end = argv.index("--") if "--" in argv else len(argv)
    ours, beam_args = argv[:end], argv[end + 1 :]
    arguments = parser().parse_args(ours)
    # Pages are imported by the commands that need them: help is quick, and Beam is told to
    # be quiet before it starts.
    logging.disable(logging.ERROR)
    command = f"moodroll-data {arguments.command}"
    mend = GOES_ON if arguments.command in GO_ON else AGAIN
    with working(command, mend) as stopped:
        code = _run(command, arguments, beam_args)
    return stopped.code or code


def _run(command: str, arguments: argparse.Namespace, beam_args: Sequence[str]) -> int:
    """Run one command; its exit code, and one sentence for what a person can mend."""
    try:
        code = RUN[arguments.command](arguments, beam_args)
        # A reader that has gone, as head does, is noticed here at the latest
        sys.stdout.flush()
        return code
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return FAILED
    except SettingsError as error:
        print(f"{command}: {error}", file=sys.stderr)
        return USAGE
    except BuildFailed as error:
        print(f"{command}: {error}", file=sys.stderr)
        return FAILED
    except OSError as error:
        place = f" ({error.filename})" if error.filename else ""
        says = f"{error.strerror or error}{place}"
    except RuntimeError as error:
        # Beam gives what was raised in a worker as text.
        says = _fault_of_a_worker(str(error))
        if not says:
            raise
    print(f"{command}: {says}: mend that, and {AGAIN}", file=sys.stderr)
    return FAILED


def _fault_of_a_worker(text: str) -> str:
    """What the machine said to a worker, "" where it is a mistake of ours that ended it."""
    faults = _FAULT.findall(text)
    if not faults:
        return ""
    says, place = faults[-1]
    return f"{says} ({place})" if place else str(says)


def _load(arguments: argparse.Namespace) -> "BuildConfig":
    from pipelines.config import load
    from pipelines.registry import SOURCES

    return load(arguments.build, arguments.set, SOURCES)


def run_build(arguments: argparse.Namespace, beam_args: Sequence[str]) -> int:
    from pipelines.curate import curate
    from pipelines.describe import describe, describe_text, terminal_width
    from pipelines.ingest import ingest
    from pipelines.labels.side_files import SideFiles, read_metadata
    from pipelines.publish import publish

    config, out = _load(arguments), arguments.out
    read: list[SideFiles] = []
    # A source may make the side files, and a wrong one is to be told before hours of reading.
    ingest(
        config,
        out,
        beam_args,
        arguments.check,
        lambda: read.append(read_metadata(config.affect, config.splits, out, out)),
    )
    curate(config, out, out, beam_args, *read)
    publish(arguments.out, arguments.out, beam_args)
    print(describe_text(describe(arguments.out), terminal_width()))
    return DONE


def run_ingest(arguments: argparse.Namespace, beam_args: Sequence[str]) -> int:
    from pipelines.ingest import ingest

    lock = ingest(_load(arguments), arguments.out, beam_args, arguments.check)
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
    from pipelines.layout import find_release
    from pipelines.manifest_checks import manifest_sha256
    from pipelines.verify import verify

    problems = verify(arguments.release, arguments.manifest_sha256)
    for problem in problems[:MOST_PROBLEMS]:
        print(problem)
    if problems:
        print(f"{len(problems)} problems: this is not the release that was published")
        return FAILED
    own = manifest_sha256(find_release(arguments.release))
    # What a folder says of itself anyone can write anew who writes all of it.
    known = "as given" if arguments.manifest_sha256 else "compare it with the one published"
    print(f"manifest sha256 {own} ({known})\nok")
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
    from pipelines.publish import seal_report
    from pipelines.report.page import build_around, write_report

    release = find_release(arguments.release)
    manifest = read_manifest(release)
    write_report(release, manifest, build_around(release))
    seal_report(release, manifest)
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


def run_export(arguments: argparse.Namespace, beam_args: Sequence[str]) -> int:
    from pipelines.export import Choice, export

    choice = Choice(
        frozenset(arguments.songs), arguments.split, arguments.quadrant, arguments.limit
    )
    paths = export(arguments.release, arguments.to, choice)
    print(f"{len(paths):,} songs in {arguments.to}")
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
    "export": run_export,
    "fetch": run_fetch,
}

if __name__ == "__main__":
    sys.exit(main())
