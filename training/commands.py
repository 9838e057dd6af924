"""What each command of moodroll-model does, from its parsed arguments."""

import json
import sys
from argparse import Namespace
from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

import torch
from torch import Tensor

from schemas.labels import QUADRANT_CLASSES
from schemas.settings import SettingsError, build, override
from schemas.song import Song
from training.config import AXES, load
from training.data.cache import Split, open_split, prepare
from training.data.release import open_release
from training.engine import trainer as engine
from training.engine.checkpoint import load_run
from training.evaluation.classifiers import JudgesConfig
from training.evaluation.evaluate import EvaluateConfig
from training.evaluation.evaluate import evaluate as measure
from training.evaluation.judging import judge as judged
from training.experiments.run import experiment
from training.experiments.store import Order
from training.generation.transfer import (
    emotion_name,
    infer_classes,
    read_piece,
    save_songs,
    shift_emotion,
    song_latents,
    swap_latents,
)
from training.parts.sampling import SamplingConfig
from training.protocols import Autoencoder, Generator, require


def train(arguments: Namespace) -> None:
    """Train a run, or go on with it."""
    config = load(arguments.file, arguments.set)
    trainer = engine.train(config, arguments.data, arguments.out, arguments.cache)
    if trainer.stopped and trainer.ranks.leads:
        print(
            f"stopped at step {trainer.step} of {config.train.steps}; the same command goes on from there"
        )


def sample(arguments: Namespace) -> None:
    """Write pieces of an emotion."""
    classes, choice = _classes(arguments), _choice(arguments)
    model, config, _ = load_run(arguments.model, arguments.device)
    songs = require(model, Generator).generate(
        classes, arguments.n, arguments.bars or config.data.bars, choice
    )
    _save(
        songs,
        [
            f"{emotion_name(classes)}-{choice.seed}-{index:03d}"
            for index in range(arguments.n)
        ],
        arguments,
    )


def transfer(arguments: Namespace) -> None:
    """Turn a song to another emotion."""
    classes, choice = _classes(arguments), _choice(arguments)
    model, (tokens,) = _pieces(arguments)
    source = (
        list(QUADRANT_CLASSES[arguments.source])
        if arguments.source
        else infer_classes(model, tokens)
    )
    z = shift_emotion(
        model,
        song_latents(model, tokens),
        source,
        [classes[axis] for axis in AXES],
        arguments.strength,
    )
    heard = emotion_name(dict(zip(AXES, source, strict=True)))
    _save(model.write(z, choice), [f"{heard}-to-{emotion_name(classes)}"], arguments)


def swap(arguments: Namespace) -> None:
    """Exchange a latent of two songs."""
    choice = _choice(arguments)
    model, pieces = _pieces(arguments)
    first, second = (song_latents(model, tokens) for tokens in pieces)
    both = swap_latents(
        first, second, "arousal" if arguments.part == "rhythm" else "valence"
    )
    names = [
        f"{kept}-with-{arguments.part}-of-{given}"
        for kept, given in (("first", "second"), ("second", "first"))
    ]
    _save(model.write(torch.cat(both), choice), names, arguments)


def reconstruct(arguments: Namespace) -> None:
    """Write a song again."""
    choice = _choice(arguments)
    model, (tokens,) = _pieces(arguments)
    _save(model.write(song_latents(model, tokens), choice), ["reconstruction"], arguments)


def evaluate(arguments: Namespace) -> None:
    """Measure a model, or run an experiment."""
    if bool(arguments.model) == bool(arguments.experiment):
        raise SettingsError("give a RUN to measure, or --experiment, not both or neither")
    if bool(arguments.plan) != bool(arguments.experiment):
        raise SettingsError(
            "--experiment and --plan go together: for example --plan manifests/experiments/tiny.toml"
        )
    if arguments.experiment:
        _experiment(arguments)
    else:
        asked_for = build(EvaluateConfig, override({}, arguments.set))
        report = measure(
            arguments.model,
            arguments.data,
            arguments.out,
            asked_for,
            arguments.cache,
            arguments.device,
        )
        print(json.dumps(report, indent=2))


def _experiment(arguments: Namespace) -> None:
    place = (arguments.data, arguments.out, arguments.cache, arguments.device)
    order = Order(arguments.plan, tuple(arguments.set), *place)
    progress = partial(print, file=sys.stderr, flush=True)
    print(experiment(arguments.experiment, order, arguments.workers, progress))


def judge(arguments: Namespace) -> None:
    """Measure the judges on real songs, and let them judge a generator."""
    asked_for = build(JudgesConfig, override({}, arguments.set))
    of = arguments.generator or ""
    print(
        judged(
            arguments.model,
            of,
            arguments.data,
            arguments.out,
            asked_for,
            arguments.cache,
            arguments.device,
        )
    )


def _classes(arguments: Namespace) -> dict[str, int | None]:
    one_by_one = {axis: getattr(arguments, axis) for axis in AXES}
    given = any(level is not None for level in one_by_one.values())
    if arguments.emotion and given:
        raise SettingsError("give --emotion, or --arousal and --valence, not both")
    if not arguments.emotion and not given:
        names = "|".join(sorted(QUADRANT_CLASSES))
        raise SettingsError(
            f"say which emotion: --emotion {names}, or --arousal 0|1, --valence 0|1"
        )
    return (
        dict(zip(AXES, QUADRANT_CLASSES[arguments.emotion], strict=True))
        if arguments.emotion
        else one_by_one
    )


def _choice(arguments: Namespace) -> SamplingConfig:
    return build(
        SamplingConfig,
        {name: getattr(arguments, name) for name in ("temperature", "top_p", "seed")},
        "sampling",
    )


def _pieces(arguments: Namespace) -> tuple[Any, list[Tensor]]:
    """The model of a run, and tokens (1, T, L) of each song that is named."""
    model, config, _ = load_run(arguments.model, arguments.device)
    splits: Callable[[str], Split] | None = None
    if arguments.data:
        splits = partial(
            open_split, prepare(open_release(arguments.data), config.data, arguments.cache)
        )
    pieces = [
        read_piece(name, config.data, splits, arguments.start) for name in arguments.song
    ]
    return require(model, Autoencoder), [piece.to(arguments.device) for piece in pieces]


def _save(songs: Sequence[Song], names: Sequence[str], arguments: Namespace) -> None:
    print("\n".join(save_songs(songs, names, arguments.out)))
