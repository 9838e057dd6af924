"""A training as a terminal shows it: what is trained on, then a bar or plain lines."""

import os
import sys

import torch

from schemas.working import stage
from training.config import RunConfig
from training.engine.folder import locked
from training.engine.trainer import Trainer


def train(config: RunConfig, release: str, out: str, cache: str | None = None) -> Trainer:
    """Run a training to its end, with a progress bar on a terminal and plain lines
    otherwise."""
    with locked(out, leads=int(os.environ.get("RANK", 0)) == 0):
        return _train(config, release, out, cache)


def _train(config: RunConfig, release: str, out: str, cache: str | None) -> Trainer:
    trainer = Trainer(config, release, out, cache)
    if trainer.ranks.leads:
        print(opening(trainer), flush=True)
    if trainer.ranks.leads and sys.stderr.isatty():
        _run_with_bar(trainer)
    else:
        steps = config.train.steps
        with stage("train", lambda: f"step {trainer.step} of {steps}"):
            trainer.run(
                lambda step, text: print(f"step {step}/{steps}: {text}", flush=True)
            )
    if trainer.ranks.size > 1:
        torch.distributed.destroy_process_group()
    return trainer


def _run_with_bar(trainer: Trainer) -> None:
    from tqdm import tqdm

    steps = trainer.config.train.steps
    with (
        stage("train", lambda: f"step {trainer.step} of {steps}", has_bar=True),
        tqdm(total=steps, initial=trainer.step, unit="step") as bar,
    ):

        def show(step: int, text: str) -> None:
            bar.set_postfix_str(text, refresh=False)
            bar.update(step - bar.n)

        trainer.run(show)


def opening(trainer: Trainer) -> str:
    """One line on what is trained, and on what of the data does not fit."""
    facts = trainer.loader.describe()
    data = trainer.config.data
    others = "judges" if data.songs == "generators" else "generators"
    songs = (
        f"{facts['songs_used']} songs ({facts['songs_labelled']} labelled, "
        f"{facts['too_short']} under {data.bars} bars, "
        f"{facts[f'for_{others}']} kept for {others})"
    )
    cut = (
        f"{facts['bars_over_share']:.1%} of bars over {data.tokens_per_bar} tokens, "
        f"{facts['notes_cut_share']:.1%} of notes cut ({data.overflow})"
    )
    model = f"{trainer.parameters:,} parameters on {trainer.ranks.device}"
    resumed = f"; going on at step {trainer.step}" if trainer.step else ""
    return f"{songs}; {cut}; {model}{resumed}"
