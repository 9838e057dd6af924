"""moodroll-model: parse, load the settings, hand them down; errors become one sentence and an exit code."""

import argparse
import json
import os
import sys
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

from schemas.labels import QUADRANT_CLASSES
from schemas.settings import SettingsError
from training.config import RunFailed

if TYPE_CHECKING:
    from training.data import Split
    from training.sample import Choice

DONE, FAILED, USAGE = 0, 1, 2

EXAMPLES = {
    "train": "moodroll-model train manifests/runs/small.toml --data out/release --out runs/small --set train.steps=2000",
    "sample": "moodroll-model sample runs/small --emotion happy --n 5 --out happy",
    "transfer": "moodroll-model transfer runs/small song.mid --emotion calm --strength 1 --out turned",
    "swap": "moodroll-model swap runs/small a.mid b.mid --part rhythm --out swapped",
    "reconstruct": "moodroll-model reconstruct runs/small song.mid --out again",
    "evaluate": "moodroll-model evaluate runs/small --data out/release --out runs/small/evaluation",
}


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command; 0 done, 1 the data or a check failed, 2 wrong usage."""
    arguments = parser().parse_args(argv)
    try:
        return arguments.run(arguments)
    except SettingsError as error:
        print(f"moodroll-model {arguments.command}: {error}", file=sys.stderr)
        return USAGE
    except RunFailed as error:
        print(f"moodroll-model {arguments.command}: {error}", file=sys.stderr)
        return FAILED
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return FAILED


def parser() -> argparse.ArgumentParser:
    """The commands and their arguments."""
    top = argparse.ArgumentParser(
        "moodroll-model", description="Train models of emotion in music, and write music with them.", allow_abbrev=False,
        epilog="Exit codes: 0 done, 1 the data or a check failed, 2 wrong usage.",
    )  # fmt: skip
    commands = top.add_subparsers(dest="command", required=True, metavar="COMMAND")
    train = _command(commands, "train", run_train, "train a model on a release; goes on where an earlier run stopped")
    train.add_argument("file", metavar="RUN.toml", help="settings, see manifests/runs")
    _data(train, required=True)
    train.add_argument("--out", required=True, metavar="RUN", help="folder of the run")
    train.add_argument("--set", action="append", default=[], metavar="a.b=v", help="override one setting; repeatable")
    sample = _writer(commands, "sample", run_sample, "write pieces of an emotion")
    sample.add_argument("--n", type=_count, default=1, help="pieces (default 1)")
    sample.add_argument("--bars", type=_count, default=0, help="bars of each (default: as trained)")
    _target(sample)
    transfer = _writer(commands, "transfer", run_transfer, "turn a song to another emotion, eq. (21)", songs=1)
    _target(transfer)
    transfer.add_argument("--strength", type=float, default=1.0, help="λ, 0 leaves the song as it is (default 1)")
    transfer.add_argument(
        "--from",
        dest="source",
        choices=sorted(QUADRANT_CLASSES),
        help="the song's own emotion (default: as the model hears it)",
    )
    swap = _writer(commands, "swap", run_swap, "exchange the rhythm or the key latents of two songs", songs=2)
    swap.add_argument("--part", choices=("rhythm", "key"), required=True)
    _writer(commands, "reconstruct", run_reconstruct, "write a song again from its latents", songs=1)
    evaluate = _command(commands, "evaluate", run_evaluate, "measure a trained model; JSON, plots and MIDI")
    evaluate.add_argument("model", metavar="RUN", help="folder of a run, or a checkpoint")
    _data(evaluate, required=True)
    evaluate.add_argument("--out", required=True, metavar="DIR")
    evaluate.add_argument("--device", default="cpu", help="cpu (default) or cuda")
    evaluate.add_argument(
        "--set",
        action="append",
        default=[],
        metavar="a=v",
        help="songs, crops, pieces, pairs, split, ... of evaluate.EvaluateConfig",
    )
    return top


def _count(text: str) -> int:
    if int(text) < 1:
        raise argparse.ArgumentTypeError("must be at least 1")
    return int(text)


def _natural(text: str) -> int:
    if int(text) < 0:
        raise argparse.ArgumentTypeError("must be 0 or more")
    return int(text)


def _command(commands: Any, name: str, run: Callable[[argparse.Namespace], int], says: str) -> argparse.ArgumentParser:
    command = commands.add_parser(
        name, help=says, description=f"{says[0].upper()}{says[1:]}.", epilog=f"Example: {EXAMPLES[name]}", allow_abbrev=False
    )
    command.set_defaults(run=run)
    return command


def _data(command: argparse.ArgumentParser, required: bool) -> None:
    command.add_argument("--data", required=required, metavar="RELEASE", help="a release: folder or any fsspec URL")
    command.add_argument("--cache", metavar="DIR", help="where its tokens are kept flat (default: beside the release)")


def _writer(
    commands: Any, name: str, run: Callable[[argparse.Namespace], int], says: str, songs: int = 0
) -> argparse.ArgumentParser:
    command = _command(commands, name, run, says)
    command.add_argument("model", metavar="RUN", help="folder of a run, or a checkpoint")
    if songs:
        command.add_argument("song", nargs=songs, metavar="SONG", help="a MIDI file, or a song_id of --data")
        command.add_argument("--start", type=_natural, default=0, help="first bar (default 0)")
        _data(command, required=False)
    command.add_argument("--out", required=True, metavar="DIR", help="folder for MIDI files")
    command.add_argument(
        "--temperature", type=float, default=1.2, help="flattens the choice of tokens; 0 takes the likeliest (default 1.2)"
    )
    command.add_argument("--top-p", type=float, default=0.9, help="nucleus (default 0.9)")
    command.add_argument("--seed", type=int, default=0)
    command.add_argument("--device", default="cpu", help="cpu (default) or cuda")
    return command


def _target(command: argparse.ArgumentParser) -> None:
    command.add_argument("--emotion", choices=sorted(QUADRANT_CLASSES), help="both axes at once")
    command.add_argument("--arousal", type=int, choices=(0, 1))
    command.add_argument("--valence", type=int, choices=(0, 1))


def _classes(arguments: argparse.Namespace) -> dict[str, int | None]:
    if arguments.emotion and (arguments.arousal is not None or arguments.valence is not None):
        raise SettingsError("give --emotion, or --arousal and --valence, not both")
    if arguments.emotion:
        return dict(zip(("arousal", "valence"), QUADRANT_CLASSES[arguments.emotion], strict=True))
    if arguments.arousal is None and arguments.valence is None:
        raise SettingsError(
            f"say which emotion: --emotion {'|'.join(sorted(QUADRANT_CLASSES))}, or --arousal 0|1, --valence 0|1"
        )
    return {"arousal": arguments.arousal, "valence": arguments.valence}


def _choice(arguments: argparse.Namespace) -> "Choice":
    from training.sample import Choice

    if arguments.temperature < 0 or not 0 < arguments.top_p <= 1:
        raise SettingsError("--temperature must be 0 or more, and --top-p over 0 and at most 1")
    return Choice(arguments.temperature, arguments.top_p, arguments.seed)


def _splits(arguments: argparse.Namespace, config: Any) -> "Callable[[str], Split] | None":
    if not arguments.data:
        return None
    from training.data import open_release, open_split, prepare

    folder = prepare(open_release(arguments.data), config.data, arguments.cache)
    return lambda split: open_split(folder, split)


def _latents(arguments: argparse.Namespace) -> tuple[Any, Any, list[Any]]:
    from training.checkpoint import load_run
    from training.sample import read_piece, song_latents

    model, config, _ = load_run(arguments.model, arguments.device)
    open_data = _splits(arguments, config)
    return (
        model,
        config,
        [
            song_latents(model, read_piece(name, config, open_data, arguments.start).to(arguments.device))
            for name in arguments.song
        ],
    )


def run_train(arguments: argparse.Namespace) -> int:
    from training.config import load
    from training.train import train

    config = load(arguments.file, arguments.set)
    trainer = train(config, arguments.data, arguments.out, arguments.cache)
    if trainer.stopped:
        print(f"stopped at step {trainer.step} of {config.train.steps}; the same command goes on from there")
    return DONE


def run_sample(arguments: argparse.Namespace) -> int:
    from training.checkpoint import load_run
    from training.sample import emotion_name, prior_latents, save_pieces, write_many

    classes, choice = _classes(arguments), _choice(arguments)
    model, config, _ = load_run(arguments.model, arguments.device)
    z = prior_latents(model, classes, arguments.n, arguments.bars or config.data.bars, arguments.seed)
    pieces = write_many(model, z, config, choice)
    names = [f"{emotion_name(classes)}-{arguments.seed}-{index:03d}" for index in range(len(pieces))]
    print("\n".join(save_pieces(pieces, names, arguments.out)))
    return DONE


def run_transfer(arguments: argparse.Namespace) -> int:
    from training.sample import emotion_name, infer_classes, save_pieces, turn, write_many

    classes, choice = _classes(arguments), _choice(arguments)
    model, config, (z,) = _latents(arguments)
    source = list(QUADRANT_CLASSES[arguments.source]) if arguments.source else infer_classes(model, z[0])
    turned = turn(model, z, source, [classes["arousal"], classes["valence"]], arguments.strength)
    heard = emotion_name(dict(zip(("arousal", "valence"), source, strict=True)))
    print(
        "\n".join(
            save_pieces(write_many(model, turned, config, choice), [f"{heard}-to-{emotion_name(classes)}"], arguments.out)
        )
    )
    return DONE


def run_swap(arguments: argparse.Namespace) -> int:
    import torch

    from training.sample import exchange, save_pieces, write_many

    choice = _choice(arguments)
    model, config, (first, second) = _latents(arguments)
    both = exchange(first, second, "arousal" if arguments.part == "rhythm" else "valence")
    names = [f"{kept}-with-{arguments.part}-of-{given}" for kept, given in (("first", "second"), ("second", "first"))]
    print("\n".join(save_pieces(write_many(model, torch.cat(both), config, choice), names, arguments.out)))
    return DONE


def run_reconstruct(arguments: argparse.Namespace) -> int:
    from training.sample import save_pieces, write_many

    choice = _choice(arguments)
    model, config, (z,) = _latents(arguments)
    print("\n".join(save_pieces(write_many(model, z, config, choice), ["reconstruction"], arguments.out)))
    return DONE


def run_evaluate(arguments: argparse.Namespace) -> int:
    from schemas.settings import build, override
    from training.evaluate import EvaluateConfig, evaluate

    asked = build(EvaluateConfig, override({}, arguments.set))
    report = evaluate(arguments.model, arguments.data, arguments.out, asked, arguments.cache, arguments.device)
    print(json.dumps(report, indent=2))
    return DONE


if __name__ == "__main__":
    sys.exit(main())
