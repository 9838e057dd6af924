"""A model that can less than Semg-GMVAE trains, is evaluated and is refused by the same
commands, none of them changed."""

import json
from dataclasses import dataclass

import pytest
import torch
from torch import nn
from torch.nn import functional

from schemas import mock
from training.cli import main
from training.config import from_tables
from training.engine.trainer import Trainer
from training.registry import MODELS, Model


@dataclass(frozen=True)
class PlainConfig:
    """Of a model that only counts."""

    bias: float = 0.0


class Plain(nn.Module):
    """A unigram of tokens that writes the same songs for every emotion."""

    def __init__(self, config, data):
        super().__init__()
        self.logits = nn.Parameter(torch.full((923,), config.bias))

    def forward(self, batch, step):
        target = batch["target"].long().flatten()
        return {
            "loss": functional.cross_entropy(
                self.logits.expand(len(target), -1), target, ignore_index=0
            )
        }

    def generate(self, classes, n, bars, sampling):
        return mock.songs(n, seed=sampling.seed, n_bars=bars)

    def flops_per_step(self, places, length):
        return 1.0


@pytest.fixture
def run(monkeypatch, tables, release, tmp_path):
    monkeypatch.setitem(MODELS, "plain", lambda: Model(PlainConfig, Plain))
    config = from_tables({**tables, "kind": "plain", "model": {"bias": 1.0}})
    assert (
        Trainer(config, release, str(tmp_path / "run"), str(tmp_path / "cache")).run() == 4
    )
    return str(tmp_path / "run")


def test_a_registry_line_is_all_that_a_model_needs(run, release, tmp_path, capsys):
    out = ["--out", str(tmp_path / "out")]
    assert main(["sample", run, "--emotion", "sad", "--n", "2", *out]) == 0
    assert len(list((tmp_path / "out").glob("*.mid"))) == 2
    assert (
        main(
            [
                "evaluate",
                run,
                "--data",
                release,
                "--cache",
                str(tmp_path / "cache"),
                "--set",
                "pieces=1",
                *out,
            ]
        )
        == 0
    )
    assert (
        '"emotion"' in capsys.readouterr().out
        and not (tmp_path / "out" / "latent.png").exists()
    )


def test_what_it_cannot_is_said_in_a_sentence(run, release, tmp_path, capsys):
    song, out = mock.songs(20)[17].song_id, ["--out", str(tmp_path / "out")]
    assert main(["reconstruct", run, song, "--data", release, *out]) == 1
    assert "a Plain cannot write a song again from latents" in capsys.readouterr().err
    assert main(["transfer", run, song, "--emotion", "sad", "--data", release, *out]) == 1


def test_a_model_that_tells_no_tokens_is_swapped_and_evaluated_all_the_same(
    tables, release, tmp_path, capsys
):
    config = from_tables(
        {**tables, "kind": "ec2vae", "model": {"width": 8, "embedding": 4, "latent": 4}}
    )
    run, cache = (
        str(tmp_path / "run"),
        ["--data", release, "--cache", str(tmp_path / "cache")],
    )
    Trainer(config, release, run, str(tmp_path / "cache")).run()
    songs = [song.song_id for song in mock.songs(20)[16:18]]
    assert (
        main(
            [
                "swap",
                run,
                *songs,
                "--part",
                "rhythm",
                *cache,
                "--out",
                str(tmp_path / "swap"),
            ]
        )
        == 0
    )
    # Two that were written, and the two that were read.
    assert len(list((tmp_path / "swap").glob("*.mid"))) == 4
    sets = [
        word for one in ("pieces=1", "pairs=1", "probe_steps=5") for word in ("--set", one)
    ]
    assert main(["evaluate", run, *cache, *sets, "--out", str(tmp_path / "out")]) == 0
    report = json.loads((tmp_path / "out" / "report.json").read_text())
    assert {"leakage", "writing", "emotion"} <= set(report) and "tokens" not in report
