"""The commands of moodroll-model and their arguments, each with an example that can be pasted."""

import argparse
from typing import Any

from schemas.code import installed_version
from schemas.keys import KEY_NAMES_ASCII
from schemas.labels import QUADRANT_CLASSES

# C, Db, D, ... as the major keys are spelled.
TONICS = [name.removesuffix(" major") for name in KEY_NAMES_ASCII[:12]]
EXAMPLES = {
    "train": "moodroll-model train manifests/runs/small.toml --data out/release --out runs/small --set train.steps=2000",
    "sample": "moodroll-model sample runs/small --emotion happy --n 5 --out happy",
    "transfer": "moodroll-model transfer runs/small song.mid --emotion calm --strength 1 --out turned",
    "swap": "moodroll-model swap runs/small a.mid b.mid --part rhythm --out swapped",
    "reconstruct": "moodroll-model reconstruct runs/small song.mid --out again",
    "evaluate": "moodroll-model evaluate runs/small --data out/release --out runs/small/evaluation; or moodroll-model evaluate "
    "--experiment tables --plan manifests/experiments/tiny.toml --data out/release --out out/experiments --workers 2",
    "judge": "moodroll-model judge runs/judge --generator runs/small --data out/release --out runs/small/judged",
}


def parser() -> argparse.ArgumentParser:
    """The commands and their arguments."""
    top = argparse.ArgumentParser(
        "moodroll-model", description="Train models of emotion in music, and write music with them.", allow_abbrev=False,
        epilog="Exit codes: 0 done, 1 the data or a check failed, 2 wrong usage, 130 or 143 stopped.",
    )  # fmt: skip
    top.add_argument(
        "--version", action="version", version=f"moodroll {installed_version()}"
    )
    commands = top.add_subparsers(dest="command", required=True, metavar="COMMAND")
    train = _command(
        commands,
        "train",
        "train a model on a release; goes on where an earlier run stopped",
    )
    train.add_argument("file", metavar="RUN.toml", help="settings, see manifests/runs")
    train.add_argument("--out", required=True, metavar="RUN", help="folder of the run")
    train.add_argument(
        "--set",
        action="append",
        default=[],
        metavar="a.b=v",
        help="override one setting; repeatable",
    )
    sample = _writer(commands, "sample", "write pieces of an emotion")
    sample.add_argument("--n", type=_count, default=1, help="pieces (default 1)")
    sample.add_argument(
        "--bars", type=_count, default=0, help="bars of each (default: as trained)"
    )
    farther = (
        "how far beyond the class as trained, 0 the middle between classes (default 1)"
    )
    sample.add_argument("--strength", type=float, default=1.0, help=farther)
    spread = "of latents around their class, 0 none (default 1)"
    sample.add_argument("--noise", type=float, default=1.0, help=spread)
    contrast = (
        "guidance away from the middle between classes, of mixtures (default 1, none)"
    )
    sample.add_argument("--contrast", type=float, default=1.0, help=contrast)
    sample.add_argument(
        "--key",
        type=_tonic,
        metavar="TONIC",
        help="C, Db, D, ... of every piece (default: drawn as songs of the emotion have it)",
    )
    transfer = _writer(
        commands, "transfer", "turn a song to another emotion, eq. (21)", songs=1
    )
    for target in (sample, transfer):
        target.add_argument(
            "--emotion", choices=sorted(QUADRANT_CLASSES), help="both axes at once"
        )
        target.add_argument("--arousal", type=int, choices=(0, 1))
        target.add_argument("--valence", type=int, choices=(0, 1))
    transfer.add_argument(
        "--strength",
        type=float,
        default=1.0,
        help="λ, 0 leaves the song as it is (default 1)",
    )
    own = "the song's own emotion (default: as the model hears it)"
    transfer.add_argument(
        "--from", dest="source", choices=sorted(QUADRANT_CLASSES), help=own
    )
    swap = _writer(
        commands, "swap", "exchange the rhythm or the key latents of two songs", songs=2
    )
    swap.add_argument("--part", choices=("rhythm", "key"), required=True)
    _writer(commands, "reconstruct", "write a song again from its latents", songs=1)
    evaluate = _command(
        commands,
        "evaluate",
        "measure a trained model, or run an experiment of the paper; JSON, plots, MIDI",
    )
    _model(evaluate, nargs="?")
    evaluate.add_argument(
        "--experiment",
        metavar="NAME",
        help="tables, rho, unlabelled, alpha, strength, swap or transfer, instead of RUN",
    )
    evaluate.add_argument(
        "--plan", metavar="PLAN.toml", help="its size and seeds, see manifests/experiments"
    )
    evaluate.add_argument(
        "--workers",
        type=_count,
        default=1,
        help="models of an experiment trained at once (default 1)",
    )
    evaluate.add_argument("--out", required=True, metavar="DIR")
    settings = "songs, crops, pieces, pairs, split, ... of evaluate.EvaluateConfig; with --experiment of the plan"
    evaluate.add_argument(
        "--set", action="append", default=[], metavar="a=v", help=settings
    )
    judge = _command(
        commands,
        "judge",
        "measure judges of emotion on real songs, and a generator by them; JSON and Markdown",
    )
    _model(judge, "?")
    judge.add_argument("--generator", metavar="RUN", help="a run whose pieces are judged")
    judge.add_argument("--out", required=True, metavar="DIR")
    settings = "split, windows, resamples, whole_songs, ... of classifiers.JudgesConfig"
    judge.add_argument("--set", action="append", default=[], metavar="a=v", help=settings)
    for command in (train, evaluate, judge):
        _data(command, required=True)
    return top


def _tonic(text: str) -> int:
    if text not in TONICS:
        raise argparse.ArgumentTypeError(f"must be one of {', '.join(TONICS)}, not {text}")
    return TONICS.index(text)


def _count(text: str) -> int:
    if int(text) < 1:
        raise argparse.ArgumentTypeError("must be at least 1")
    return int(text)


def _natural(text: str) -> int:
    if int(text) < 0:
        raise argparse.ArgumentTypeError("must be 0 or more")
    return int(text)


def _command(commands: Any, name: str, says: str) -> argparse.ArgumentParser:
    description, example = f"{says[0].upper()}{says[1:]}.", f"Example: {EXAMPLES[name]}"
    return commands.add_parser(
        name, help=says, description=description, epilog=example, allow_abbrev=False
    )


def _data(command: argparse.ArgumentParser, required: bool) -> None:
    command.add_argument(
        "--data",
        required=required,
        metavar="RELEASE",
        help="a release: folder or any fsspec URL",
    )
    command.add_argument(
        "--cache",
        metavar="DIR",
        help="where its tokens are kept flat (default: beside the release)",
    )


def _model(command: argparse.ArgumentParser, nargs: str | None = None) -> None:
    command.add_argument(
        "model", metavar="RUN", nargs=nargs, help="folder of a run, or a checkpoint"
    )
    command.add_argument(
        "--device", default="cpu", choices=("cpu", "cuda"), help="default cpu"
    )


def _writer(commands: Any, name: str, says: str, songs: int = 0) -> argparse.ArgumentParser:
    command = _command(commands, name, says)
    _model(command)
    if songs:
        command.add_argument(
            "song", nargs=songs, metavar="SONG", help="a MIDI file, or a song_id of --data"
        )
        command.add_argument(
            "--start", type=_natural, default=0, help="first bar (default 0)"
        )
        _data(command, required=False)
    command.add_argument(
        "--out", required=True, metavar="DIR", help="folder for MIDI files"
    )
    flattens = "flattens the choice of tokens; 0 takes the likeliest (default 1.2)"
    command.add_argument("--temperature", type=float, default=1.2, help=flattens)
    command.add_argument("--top-p", type=float, default=0.9, help="nucleus (default 0.9)")
    command.add_argument("--seed", type=int, default=0)
    return command
