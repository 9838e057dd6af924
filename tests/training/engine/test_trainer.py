"""Training: it learns, is the same for the same seed, goes on bit for bit, stops as it
should, refuses what it must."""

import json
import os
import signal
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from schemas.settings import SettingsError
from training.config import from_tables
from training.data.cache import open_split, prepare
from training.data.loader import Loader
from training.data.release import open_release
from training.engine import checkpoint
from training.engine.distributed import to_device
from training.engine.optimizer import learning_rate
from training.engine.trainer import Trainer
from training.engine.validation import VALIDATION_SEED
from training.errors import RunFailed

from ..conftest import mock_rows, write_release


def run(config, release, out, cache):
    trainer = Trainer(config, release, str(out), str(cache))
    trainer.run()
    return trainer


def losses(out):
    rows = [json.loads(line) for line in (Path(out) / "log.jsonl").read_text().splitlines()]
    return [
        (row["kind"], row["step"], row["loss"]) for row in rows if row["kind"] != "data"
    ]


def same_weights(one, other):
    first, second = one.model.state_dict(), other.model.state_dict()
    return all(torch.equal(first[name], second[name]) for name in first)


@pytest.fixture(scope="module")
def cache(tmp_path_factory):
    return tmp_path_factory.mktemp("tokens")


def command_line(tables, release, folder, cache, launcher=()):
    """A training as a shell would start it, its settings written to a file."""
    lines = ['name = "t"', 'kind = "semg_gmvae"']
    for section in ("model", "data", "train"):
        lines += [
            f"[{section}]",
            *(f"{name} = {json.dumps(value)}" for name, value in tables[section].items()),
        ]
    (folder / "run.toml").write_text("\n".join(lines))
    words = [
        "train",
        folder / "run.toml",
        "--data",
        release,
        "--out",
        folder / "run",
        "--cache",
        cache,
    ]
    return [sys.executable, *launcher, "-m", "training.cli", *map(str, words)]


VARIANTS = [
    {"adversary": "reversal", "alpha": 0.5, "mutual_information": False},
    {"adversary": "none", "label_weight": 1.0, "temperature": 4.0},
    {"vanilla": True},
    {"cell": "lstm"},
]


def test_one_batch_is_learned_by_heart(tables, release, tmp_path, cache):
    tables["model"] |= {
        "width": 48,
        "feed_forward": 96,
        "latent": 8,
        "dropout": 0.0,
        "kl_weight": 0.0,
        "free_bits": 0.0,
        "adversary": "none",
    }
    tables["data"] |= {"bars": 2, "tokens_per_bar": 32, "layout": "packed"}
    tables["train"] |= {
        "batch": 2,
        "learning_rate": 8e-3,
        "final_learning_rate": 1e-3,
        "steps": 300,
    }
    trainer = Trainer(from_tables(tables), release, str(tmp_path), str(cache))
    batch = trainer.loader.batch_at(0)
    for _ in range(300):
        terms = trainer.train_step(batch)
        if terms["token_accuracy"] >= 0.995:
            break
    assert terms["token_accuracy"] >= 0.99 and terms["rhythm"] < 0.5 and trainer.step > 5


@pytest.mark.parametrize(
    "changes", [{}, *VARIANTS], ids=lambda changes: "-".join(changes) or "paper"
)
@pytest.mark.parametrize("layout", ["padded", "packed"])
def test_every_variant_trains_and_the_layouts_agree(
    tables, release, tmp_path, cache, changes, layout
):
    tables["model"] |= {"dropout": 0.0, **changes}
    found = []
    for one in (layout, "padded"):
        tables["data"]["layout"] = one
        trainer = run(from_tables(tables), release, tmp_path / one, cache)
        assert trainer.step == 4
        found.append([loss for *_, loss in losses(tmp_path / one)])
    assert found[0] == pytest.approx(found[1], rel=1e-4)


def test_same_seed_same_losses_another_seed_others(tables, release, tmp_path, cache):
    runs = []
    for name, seed in (("a", 0), ("b", 0), ("c", 1)):
        tables["train"]["seed"] = seed
        run(from_tables(tables), release, tmp_path / name, cache)
        runs.append(losses(tmp_path / name))
    assert runs[0] == runs[1] != runs[2]


def test_validating_changes_nothing(tables, release, tmp_path, cache):
    runs = []
    for every in (1, 4):
        tables["train"]["validate_every"] = every
        run(from_tables(tables), release, tmp_path / str(every), cache)
        runs.append([row for row in losses(tmp_path / str(every)) if row[0] == "train"])
    assert runs[0] == runs[1]


def test_stopping_and_going_on_equals_no_stop(config, release, tmp_path, cache):
    whole = run(
        replace(config, train=replace(config.train, steps=6)),
        release,
        tmp_path / "whole",
        cache,
    )
    half = Trainer(
        replace(config, train=replace(config.train, steps=6)),
        release,
        str(tmp_path / "half"),
        str(cache),
    )
    train_step = half.train_step

    def learn_and_stop(batch):
        half.stopped = half.step == 2
        return train_step(batch)

    half.train_step = learn_and_stop
    half.run()
    assert half.step == 3 and half.stopped
    rest = run(
        replace(config, train=replace(config.train, steps=6)),
        release,
        tmp_path / "half",
        cache,
    )
    assert same_weights(whole, rest) and losses(tmp_path / "half") == losses(
        tmp_path / "whole"
    )
    one, other = (
        checkpoint.read(tmp_path / name / "last.safetensors") for name in ("whole", "half")
    )
    assert one.facts == other.facts and all(
        torch.equal(one.tensors[name], other.tensors[name]) for name in one.tensors
    )


def test_save_and_load_are_equal(config, release, tmp_path, cache):
    trainer = run(config, release, tmp_path, cache)
    model, loaded, facts = checkpoint.load_run(str(tmp_path / "last.safetensors"))
    assert loaded == config and facts["step"] == 4
    state = trainer.model.state_dict()
    assert all(
        torch.equal(value, state[name]) for name, value in model.state_dict().items()
    )
    assert not list(tmp_path.glob("*.part"))


def test_sigterm_stops_cleanly_and_the_log_goes_on(tables, release, tmp_path):
    tables["train"] |= {"steps": 100_000, "validate_every": 1000, "save_every": 1000}
    command = command_line(tables, release, tmp_path, tmp_path / "cache")
    process = subprocess.Popen(
        command, stdout=subprocess.PIPE, text=True, cwd=Path(__file__).resolve().parents[3]
    )
    assert process.stdout is not None
    read = [process.stdout.readline() for _ in range(4)]
    os.kill(process.pid, signal.SIGTERM)
    rest, _ = process.communicate(timeout=60)
    assert process.returncode == 128 + signal.SIGTERM and "stopped at step" in rest, read
    step = checkpoint.read(tmp_path / "run" / "last.safetensors").facts["step"]
    assert step == max(at for _, at, _ in losses(tmp_path / "run"))


def test_a_half_written_line_of_the_log_does_not_stop_going_on(
    tables, release, tmp_path, cache
):
    run(from_tables(tables), release, tmp_path, cache)
    whole = (tmp_path / "log.jsonl").read_text()
    (tmp_path / "log.jsonl").write_text(whole + '{"kind": "train", "st')
    run(from_tables(tables), release, tmp_path, cache)
    assert (tmp_path / "log.jsonl").read_text() == whole


def test_weights_alone_are_not_gone_on_from(config, release, tmp_path, cache):
    run(config, release, tmp_path, cache)
    (tmp_path / "best.safetensors").replace(tmp_path / "last.safetensors")
    with pytest.raises(RunFailed, match="holds weights alone"):
        Trainer(config, release, str(tmp_path), str(cache))


def test_a_loss_that_is_no_number_stops_with_the_batch_named(
    config, release, tmp_path, cache
):
    trainer = Trainer(config, release, str(tmp_path), str(cache))
    with torch.no_grad():
        trainer.model.decoder.head.bias[5] = float("nan")
    batch = trainer.loader.batch_at(0)
    with pytest.raises(
        RunFailed,
        match=f"loss is nan at step 1 .*{trainer.loader.split.ids[batch.song[0]]} from bar",
    ):
        trainer.train_step(batch)


def test_checkpoints_that_do_not_fit_are_refused(config, tables, release, tmp_path, cache):
    run(config, release, tmp_path / "run", cache)
    for change, says in (
        ({"model": {**tables["model"], "width": 32}}, "another model setting"),
        ({"data": {**tables["data"], "bars": 2}}, "another data setting"),
    ):
        with pytest.raises(RunFailed, match=says):
            Trainer(
                from_tables({**tables, **change}),
                release,
                str(tmp_path / "run"),
                str(cache),
            )
    made, _, _ = checkpoint.load_run(str(tmp_path / "run"))
    other = from_tables({**tables, "model": {**tables["model"], "layers": 2}})
    from training.models.semg_gmvae import SemgGmvae

    path = tmp_path / "run" / "last.safetensors"
    with pytest.raises(RunFailed, match="another model"):
        checkpoint.restore_model(
            SemgGmvae(other.model, other.data), checkpoint.read(path), path
        )
    old = path.with_name("old.safetensors")
    checkpoint.save(
        old,
        made,
        {**checkpoint.read(path).facts, "config": {**tables, "model": {"depth": 2}}},
    )
    with pytest.raises(
        RunFailed, match=r"another version of this program.* unknown key model.depth"
    ):
        checkpoint.load_run(str(old))
    path.write_bytes(path.read_bytes()[:100])
    with pytest.raises(RunFailed, match="cannot be read as a checkpoint"):
        checkpoint.read(path)
    with pytest.raises(RunFailed, match="train first"):
        checkpoint.load_run(str(tmp_path / "nothing"))
    assert made.training is False


def test_settings_are_refused_by_name(tables):
    for change, says in (
        ({"modle": {}}, "unknown key modle: did you mean model"),
        ({"model": {"layer": 2}}, "unknown key model.layer: did you mean layers"),
        ({"kind": "gpt"}, "kind must be one of .*semg_gmvae.*, not 'gpt'"),
        ({"model": {"width": 10, "heads": 4}}, "must divide into 4 heads"),
        ({"model": {"heads": 0}}, "must be at least 1"),
        ({"model": {"temperature": 0.0}}, "must be over 0"),
        ({"data": {"overflow": "squeeze"}}, "data.overflow must be"),
        ({"data": {"max_count": 300}}, "max_count must be from 1 to 255"),
        ({"data": {"threads": -1}}, "threads 0 or more"),
        ({"train": {"device": "gpu"}}, "train.device must be"),
        ({"train": {"validation_batches": 0}}, "validation_batches"),
        ({"data": {"tracks": ["Oboe"]}}, "tracks must be some of"),
    ):
        with pytest.raises(SettingsError, match=says):
            from_tables({**tables, **change})


def test_learning_rate_rises_and_falls(config):
    train = replace(
        config.train, steps=110, warmup_steps=10, learning_rate=1.0, final_learning_rate=0.1
    )
    assert learning_rate(train, 0) == pytest.approx(0.1) and learning_rate(train, 9) == 1.0
    assert learning_rate(train, 60) == pytest.approx(0.55) and learning_rate(
        train, 110
    ) == pytest.approx(0.1)


def test_accumulation_adds_up(tables, release, tmp_path, cache):
    tables["model"] |= {"dropout": 0.0, "adversary": "none"}
    gradients = []
    for parts in (1, 2):
        tables["train"]["accumulate"] = parts
        trainer = Trainer(
            from_tables(tables), release, str(tmp_path / str(parts)), str(cache)
        )
        trainer.train_step(trainer.loader.batch_at(0))
        gradients.append(trainer.model.local["arousal"][2].bias.grad.clone())
    assert torch.nn.functional.cosine_similarity(*gradients, dim=0) > 0.9


@pytest.mark.parametrize("vanilla", [False, True])
def test_two_ranks_train_together(tables, release, tmp_path, cache, vanilla):
    tables["model"]["vanilla"] = vanilla
    torchrun = ["-m", "torch.distributed.run", "--standalone", "--nproc-per-node=2"]
    command = command_line(tables, release, tmp_path, cache, torchrun)
    done = subprocess.run(
        command,
        capture_output=True,
        text=True,
        cwd=Path(__file__).resolve().parents[3],
        timeout=120,
        check=False,
    )
    assert done.returncode == 0, done.stderr[-2000:]
    assert [step for kind, step, _ in losses(tmp_path / "run") if kind == "train"] == [
        1,
        2,
        3,
        4,
    ]
    model, config, _ = checkpoint.load_run(str(tmp_path / "run" / "last.safetensors"))
    split = open_split(
        prepare(open_release(release), config.data, str(cache)), "validation"
    )
    shares = []
    for rank in range(2):
        torch.manual_seed(VALIDATION_SEED)
        batch = Loader(
            split, config.data, config.train.batch, VALIDATION_SEED, rank, 2, held_out=True
        ).batch_at(0)
        shares.append(model(to_device(batch, torch.device("cpu")), None)["loss"].item())
    assert losses(tmp_path / "run")[-1] == (
        "validation",
        4,
        pytest.approx(sum(shares) / 2, rel=1e-5),
    ), "the mean of both ranks"


def test_a_release_without_labels_trains_though_components_would_start_at_labels(
    tmp_path,
):
    release = write_release(tmp_path / "release", mock_rows(lambda index: False))
    sizes = {"layers": 1, "heads": 2, "width": 16, "feed_forward": 32, "latent": 4}
    found = {}
    for start in ("xavier", "labels"):
        tables = {
            "name": start, "kind": "semg_gmvae",
            "model": {**sizes, "start": start, "prior": "fitted", "kl_warmup": 1},
            "data": {"bars": 3, "tokens_per_bar": 48, "supervision": 0.0},
            "train": {"steps": 2, "batch": 4, "log_every": 1, "validate_every": 2, "validation_batches": 1, "threads": 1,
                      "tensorboard": False},
        }  # fmt: skip
        found[start] = run(
            from_tables(tables), release, tmp_path / start, tmp_path / "cache"
        )
    # Nothing is known to start at: the weights are those of a start by chance.
    assert same_weights(found["xavier"], found["labels"])


def test_a_command_with_tensorboard_ends_well(tables, release, tmp_path):
    """No thread may still be at work when the interpreter ends: some libraries abort then."""
    tables["train"]["tensorboard"] = True
    lines = ['name = "t"', 'kind = "semg_gmvae"']
    for section in ("model", "data", "train"):
        settings = tables[section].items()
        lines += [
            f"[{section}]",
            *(f"{key} = {json.dumps(value)}" for key, value in settings),
        ]
    (tmp_path / "run.toml").write_text("\n".join(lines))
    words = [
        "train",
        str(tmp_path / "run.toml"),
        "--data",
        release,
        "--out",
        str(tmp_path / "out"),
    ]
    done = subprocess.run(
        [sys.executable, "-m", "training.cli", *words, "--cache", str(tmp_path / "cache")],
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
