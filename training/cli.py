"""moodroll-model: parse, load the settings, hand them down; errors become one sentence and an
exit code.

What a command needs is imported by the command: --help and wrong usage need no PyTorch.
"""

import json
import os
import sys
from argparse import Namespace
from collections.abc import Callable, Sequence
from functools import partial
from typing import TYPE_CHECKING, Any

from schemas.labels import QUADRANT_CLASSES
from schemas.settings import SettingsError, build, override
from schemas.working import AGAIN, GOES_ON, working
from training.arguments import parser
from training.config import AXES, load
from training.errors import RunFailed

if TYPE_CHECKING:
    from schemas.song import Song
    from training.config import RunConfig
    from training.data.cache import Split
    from training.generation.transfer import Piece
    from training.parts.sampling import SamplingConfig

DONE, FAILED, USAGE = 0, 1, 2


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command; 0 done, 1 the data or a check failed, 2 wrong usage, 130 or 143
    stopped."""
    arguments = parser().parse_args(argv)
    command = f"moodroll-model {arguments.command}"
    mend = GOES_ON if arguments.command in ("train", "evaluate") else AGAIN
    with working(command, mend) as stopped:
        code = _run(command, arguments)
    return stopped.code or code


def _run(command: str, arguments: Namespace) -> int:
    try:
        RUN[arguments.command](arguments)
        sys.stdout.flush()  # a reader that has gone, as head does, is noticed here at the latest
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return FAILED
    except (SettingsError, RunFailed, OSError) as error:
        print(f"{command}: {error}", file=sys.stderr)
        return USAGE if isinstance(error, SettingsError) else FAILED
    return DONE


def run_train(arguments: Namespace) -> None:
    """Train a run, or go on with it."""
    from training.engine.console import train

    config = load(arguments.file, arguments.set)
    trainer = train(config, arguments.data, arguments.out, arguments.cache)
    if trainer.stopped and trainer.ranks.leads:
        print(
            f"stopped at step {trainer.step} of {config.train.steps}; "
            "the same command goes on from there"
        )


def run_sample(arguments: Namespace) -> None:
    """Write pieces of an emotion."""
    from training.engine.checkpoint import load_run
    from training.generation.transfer import emotion_name
    from training.generation.writing import Writer

    classes = _classes(arguments)
    sampling = _sampling(arguments, "strength", "noise", "contrast")
    loaded = load_run(arguments.model, arguments.device)
    writer = Writer.of(*loaded)
    if arguments.key is not None and writer.keys is None:
        raise SettingsError(
            "--key needs a run that reads pitch relative to the tonic: "
            "leave it out, or train with data.pitch = tonic"
        )
    bars = arguments.bars or writer.data.bars
    songs = writer.write(classes, arguments.n, bars, sampling, arguments.key)
    stem = f"{emotion_name(classes)}-{sampling.seed}"
    names = [f"{stem}-{index:03d}" for index in range(arguments.n)]
    _save(songs, names, arguments, loaded[1:])


def run_transfer(arguments: Namespace) -> None:
    """Move a song to another emotion."""
    from training.generation.transfer import (
        emotion_name,
        infer_classes,
        shift_emotion,
        song_latents,
    )
    from training.generation.writing import in_keys

    classes = _classes(arguments)
    sampling = _sampling(arguments)
    model, (piece,), origin = _pieces(arguments)
    tokens = piece.tokens
    source = (
        list(QUADRANT_CLASSES[arguments.source])
        if arguments.source
        else infer_classes(model, tokens)
    )
    target = [classes[axis] for axis in AXES]
    z = shift_emotion(
        model, song_latents(model, tokens), source, target, arguments.strength
    )
    heard = emotion_name(dict(zip(AXES, source, strict=True)))
    songs = in_keys(model.write(z, sampling), piece.tonic)
    _save(songs, [f"{heard}-to-{emotion_name(classes)}"], arguments, origin, [piece])


def run_swap(arguments: Namespace) -> None:
    """Exchange a latent of two songs."""
    import numpy as np
    import torch

    from training.generation.transfer import song_latents, swap_latents
    from training.generation.writing import in_keys

    sampling = _sampling(arguments)
    model, pieces, origin = _pieces(arguments)
    first, second = (song_latents(model, piece.tokens) for piece in pieces)
    axis = "arousal" if arguments.part == "rhythm" else "valence"
    both = torch.cat(swap_latents(first, second, axis))
    part = arguments.part
    names = [f"first-with-{part}-of-second", f"second-with-{part}-of-first"]
    bars = both.shape[1]
    tonics = np.concatenate([piece.tonic[:, :bars] for piece in pieces])
    _save(in_keys(model.write(both, sampling), tonics), names, arguments, origin, pieces)


def run_reconstruct(arguments: Namespace) -> None:
    """Write a song again."""
    from training.generation.transfer import song_latents
    from training.generation.writing import in_keys

    sampling = _sampling(arguments)
    model, (piece,), origin = _pieces(arguments)
    songs = model.write(song_latents(model, piece.tokens), sampling)
    _save(in_keys(songs, piece.tonic), ["reconstruction"], arguments, origin, [piece])


def run_evaluate(arguments: Namespace) -> None:
    """Measure a model, or run an experiment."""
    if bool(arguments.model) == bool(arguments.experiment):
        raise SettingsError("give a RUN to measure, or --experiment, not both or neither")
    if bool(arguments.plan) != bool(arguments.experiment):
        raise SettingsError(
            "--experiment and --plan go together: "
            "for example --plan manifests/experiments/tiny.toml"
        )
    if arguments.experiment:
        _experiment(arguments)
    else:
        _evaluate(arguments)


def _evaluate(arguments: Namespace) -> None:
    from training.evaluation.evaluate import EvaluateConfig, evaluate

    config = build(EvaluateConfig, override({}, arguments.set))
    report = evaluate(
        arguments.model,
        arguments.data,
        arguments.out,
        config,
        arguments.cache,
        arguments.device,
    )
    print(json.dumps(report, indent=2))


def _experiment(arguments: Namespace) -> None:
    from training.experiments.run import experiment
    from training.experiments.store import Request

    place = (arguments.data, arguments.out, arguments.cache, arguments.device)
    request = Request(arguments.plan, tuple(arguments.set), *place)
    progress = partial(print, file=sys.stderr, flush=True)
    print(experiment(arguments.experiment, request, arguments.workers, progress))


def run_judge(arguments: Namespace) -> None:
    """Measure the judges on real songs, and let them judge a generator."""
    from training.evaluation.classifiers import JudgesConfig
    from training.evaluation.judging import judge

    config = build(JudgesConfig, override({}, arguments.set))
    report = judge(
        arguments.model or "",
        arguments.generator or "",
        arguments.data,
        arguments.out,
        config,
        arguments.cache,
        arguments.device,
    )
    print(report)


def _classes(arguments: Namespace) -> dict[str, int | None]:
    """The class that is asked for of each axis, None where any will do."""
    by_axis = {axis: getattr(arguments, axis) for axis in AXES}
    given = any(level is not None for level in by_axis.values())
    if arguments.emotion and given:
        raise SettingsError("give --emotion, or --arousal and --valence, not both")
    if not arguments.emotion and not given:
        names = "|".join(sorted(QUADRANT_CLASSES))
        raise SettingsError(
            f"say which emotion: --emotion {names}, or --arousal 0|1, --valence 0|1"
        )
    if arguments.emotion:
        return dict(zip(AXES, QUADRANT_CLASSES[arguments.emotion], strict=True))
    return by_axis


def _sampling(arguments: Namespace, *more: str) -> "SamplingConfig":
    from training.parts.sampling import SamplingConfig

    table = {
        name: getattr(arguments, name) for name in ("temperature", "top_p", "seed", *more)
    }
    return build(SamplingConfig, table, "sampling")


Origin = tuple["RunConfig", dict[str, Any]]


def _pieces(arguments: Namespace) -> "tuple[Any, list[Piece], Origin]":
    """The model of a run, each song that is named as it reads it, and the run's settings
    and facts."""
    from training.data.cache import open_split, prepare
    from training.data.release import open_release
    from training.engine.checkpoint import load_run
    from training.generation.transfer import read_piece
    from training.protocols import Autoencoder, require

    model, config, facts = load_run(arguments.model, arguments.device)
    splits: Callable[[str], Split] | None = None
    if arguments.data:
        folder = prepare(open_release(arguments.data), config.data, arguments.cache)
        splits = partial(open_split, folder)
    pieces = [
        read_piece(name, config.data, splits, arguments.start) for name in arguments.song
    ]
    on_device = [
        piece._replace(tokens=piece.tokens.to(arguments.device)) for piece in pieces
    ]
    return require(model, Autoencoder), on_device, (config, facts)


def _save(
    songs: "Sequence[Song]",
    names: Sequence[str],
    arguments: Namespace,
    origin: "Origin",
    sources: "Sequence[Piece]" = (),
) -> None:
    """Write the songs, the songs that they were made from beside them, a page that plays
    all, and which run made them, of what, with which settings."""
    from training.generation.listen import write_page
    from training.generation.transfer import note_origin, save_songs, song_of_piece

    print("\n".join(save_songs(songs, names, arguments.out)))
    read = ["source"] if len(sources) == 1 else ["first", "second"]
    save_songs(
        [song_of_piece(piece) for piece in sources], read[: len(sources)], arguments.out
    )
    print(f"{write_page(arguments.out)} shows and plays them", file=sys.stderr)
    config, facts = origin
    asked = (
        "emotion",
        "arousal",
        "valence",
        "key",
        "strength",
        "noise",
        "contrast",
        "part",
    )
    settings = (*asked, "temperature", "top_p", "seed", "song")
    told = {
        name: value for name in settings if (value := vars(arguments).get(name)) is not None
    }
    run = {"run": config.name, "kind": config.kind, "step": facts["step"]}
    hashes = {name: facts[name] for name in ("release", "code")}
    note_origin(
        arguments.out, names, {"command": arguments.command, **run, **hashes, **told}
    )


RUN: dict[str, Callable[[Namespace], None]] = {
    "train": run_train,
    "sample": run_sample,
    "transfer": run_transfer,
    "swap": run_swap,
    "reconstruct": run_reconstruct,
    "evaluate": run_evaluate,
    "judge": run_judge,
}

if __name__ == "__main__":
    sys.exit(main())
