"""Experiments: plans whose cells share trainings, and the command from plan to tables,
resumed, stopped and refused."""

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest

from schemas.settings import SettingsError
from training.cli import main
from training.engine.checkpoint import read
from training.engine.trainer import Trainer
from training.experiments.plan import cells, judge_config, load
from training.experiments.report.tables import ROWS, rows_of
from training.experiments.report.transfer import NAMES
from training.experiments.run import EXPERIMENTS

from ..conftest import mock_rows, write_release

TRAIN = "steps = 2\nbatch = 4\nlog_every = 1\nvalidate_every = 2\nvalidation_batches = 1\nthreads = 1\ntensorboard = false\n"
DATA = "bars = 3\ntokens_per_bar = 24\n"
SIZES = "layers = 1\nheads = 2\nwidth = 16\nfeed_forward = 32\n"
MODELS = {
    "semg_gmvae": SIZES + "latent = 4\nkl_warmup = 1\nkl_cycle = 0\n", "ssvae": SIZES + "latent = 4\n", "control": SIZES,
    "judge": "embedding = 8\nhidden = 4\nattention = 4\nheads = 2\nwidth = 8\n",
}  # fmt: skip
PLAN = """
seeds = [0, 1]
supervision = 1.0
rhos = [0.2, 1.0]
labelled_shares = [1.0, -1.0]
alphas = [0.2, 0.0]
strengths = [1.0, 3.0]
songs = 4
judge = "judge.toml"
overrides = ["train.log_every=2"]
[recipes]
semg_gmvae = "semg_gmvae.toml"
ssvae = {file = "ssvae.toml", overrides = ["model.latent=3"]}
control = "control.toml"
[judging]
pieces = 2
windows = 2
resamples = 20
"""


@pytest.fixture(scope="module")
def shared(tmp_path_factory):
    """A release with half of its training songs for judges, and a plan of three models that
    train in a moment."""
    folder = tmp_path_factory.mktemp("experiments")
    rows = mock_rows()
    for index, row in enumerate(rows["train"]):
        row |= {
            "judge": index < 6,
            "arousal_class": index // 2 % 2,
            "valence_class": index % 2,
        }
    for index, row in enumerate(rows["test"]):
        row |= {"arousal_class": index // 2 % 2, "valence_class": index % 2}
    write_release(folder / "release", rows)
    for name, model in MODELS.items():
        data = DATA + (
            'songs = "judges"\nlabelled_share = 1.0\n' if name == "judge" else ""
        )
        text = f'name = "{name}"\nkind = "{name}"\n[model]\n{model}[data]\n{data}[train]\n{TRAIN}'
        (folder / f"{name}.toml").write_text(text)
    (folder / "plan.toml").write_text(PLAN)
    return folder


def command(shared, name, out, *words):
    place = [
        "--data",
        str(shared / "release"),
        "--cache",
        str(shared / "cache"),
        "--out",
        str(out),
    ]
    return [
        "evaluate",
        "--experiment",
        name,
        "--plan",
        str(shared / "plan.toml"),
        *place,
        *words,
    ]


PLANS = sorted(
    (Path(__file__).resolve().parents[3] / "manifests" / "experiments").glob("*.toml")
)


@pytest.mark.parametrize("path", PLANS, ids=lambda path: path.stem)
def test_every_plan_reads_and_says_its_command_time_and_result(path):
    plan, text = load(str(path)), path.read_text("utf-8")
    assert (
        f"--plan manifests/experiments/{path.name}" in text
        and "Time: " in text
        and "Expected result: " in text
    )
    names = {name for name, ways in ROWS.items() if ways != ("plain",)}
    assert set(plan.recipes) == names and judge_config(plan).data.songs == "judges"
    for name in names:
        (first, *_) = cells(plan, name)
        assert first.config.data.tracks == judge_config(plan).data.tracks


def test_a_cell_is_named_by_what_differs_and_shared_where_nothing_does(shared):
    plan = load(str(shared / "plan.toml"))
    (base, other), same = (
        cells(plan, "semg_gmvae"),
        cells(plan, "semg_gmvae", {"model.alpha": 0.2, "data.supervision": 1.0}),
    )
    assert (
        base.name == "semg_gmvae-seed0"
        and other.name == "semg_gmvae-seed1"
        and [base, other] == same
    )
    (changed, _) = cells(
        plan, "semg_gmvae", {"model.alpha": 0.0, "model.mutual_information": False}
    )
    assert changed.name == "semg_gmvae-alpha=0.0-mutual_information=False-seed0"
    assert (
        changed.config.model.alpha == 0
        and not changed.config.model.mutual_information
        and changed.config.name == changed.name
    )
    assert other.config.train.seed == 1 and base.config.train.log_every == 2
    assert cells(plan, "ssvae")[0].config.model.latent == 3
    assert cells(plan, "retrieval")[1].config is None and cells(plan, "fadernets") == []


def test_supervised_rows_hear_labelled_songs_alone(shared):
    rows = {
        (row.model, row.taught): row.cells
        for row in rows_of(load(str(shared / "plan.toml")))
    }
    told = {
        taught: rows["semg_gmvae", taught][0].config.data
        for taught in ("supervised", "semi-supervised")
    }
    assert (
        told["supervised"].labelled_share == 1
        and told["semi-supervised"].labelled_share == -1
    )
    assert told["supervised"].supervision == told["semi-supervised"].supervision == 1
    assert set(rows) == {(name, taught) for name in ("semg_gmvae", "ssvae", "control") for taught in ROWS[name]} | {
        ("retrieval", "plain"), ("rule_editing", "plain"),
    }  # fmt: skip


def test_a_recipe_of_labelled_songs_alone_has_a_semi_supervised_row_all_the_same(shared):
    plan = load(
        str(shared / "plan.toml"),
        ["recipes.ssvae={file='ssvae.toml', overrides=['data.labelled_share=1.0']}"],
    )
    rows = {row.taught: row.cells[0] for row in rows_of(plan) if row.model == "ssvae"}
    assert (
        rows["supervised"].name == "ssvae-seed0"
        and rows["semi-supervised"].name == "ssvae-labelled_share=-1.0-seed0"
    )
    assert rows["semi-supervised"].config.data.labelled_share == -1


@pytest.mark.parametrize(
    ("assignment", "says"),
    [("modles=[]", "did you mean models"), ("models=['semg_gmva']", "did you mean semg_gmvae"), ("seeds=[]", "seeds must be"),
     ("seeds=[0, 0]", "seeds must be one or more different"), ("rhos=[2.0]", "at most 1"), ("alphas=[]", "alphas must be"),
     ("songs=3", "songs must be at least 4"), ("recipes.ccvae=nowhere.toml", "recipes.ccvae names 'nowhere.toml'"),
     ("judge=''", "judge names ''"), ("judge=3", "judge must be a table, not 3"), ("recipes=5", "recipes must be a table"),
     ("recipes.ccvae=[3]", "recipes.ccvae must be a table"), ("judging.pieces=0", "pieces"),
     ("recipes.ccvae={file='ssvae.toml', overrides=[3]}", r"recipes.ccvae.overrides\[0\] must be str")],
)  # fmt: skip
def test_a_plan_is_refused_by_the_key_that_is_wrong(shared, assignment, says):
    with pytest.raises(SettingsError, match=says):
        load(str(shared / "plan.toml"), [assignment])


@pytest.fixture(scope="module")
def done(shared, tmp_path_factory):
    """Every experiment run once."""
    out = tmp_path_factory.mktemp("out")
    for name in EXPERIMENTS:
        assert main(command(shared, name, out)) == 0
    return out


def test_every_experiment_writes_json_markdown_and_plots(done):
    for name in EXPERIMENTS:
        report, text = (
            json.loads((done / f"{name}.json").read_text()),
            (done / f"{name}.md").read_text(),
        )
        assert report["rows"] and text.startswith("# ") and "\n\n\n" not in text
        # Majority and real songs stand over every table in which judges speak.
        assert ("| boosting | valence |" in text) == (name != "swap")
    plots = {path.name for path in done.glob("*.png")}
    assert plots == {"tables.png", "rho.png", "alpha.png", "projection-arousal.png", "projection-valence.png", "swap.png",
                     "transfer.png", "strength.png", "labelled_share.png"}  # fmt: skip
    assert len(list((done / "runs").iterdir())) == 1 + 2 * (6 + 2 + 3)


def test_the_tables_have_ours_and_the_papers(done):
    report, text = (
        json.loads((done / "tables.json").read_text()),
        (done / "tables.md").read_text(),
    )
    assert (
        set(report["real"]) == {"rules", "boosting", "network"}
        and len(report["rows"]) == 2 + 3 * 2
    )
    row = next(
        row
        for row in report["rows"]
        if (row["model"], row["taught"]) == ("semg_gmvae", "semi-supervised")
    )
    assert (
        row["nll"]["least"] > 3
        and set(row["distance_to_real"]) == set(NAMES)
        and row["q_arousal"]["most"] <= 1
    )
    assert all(
        len(row["judges"][judge]["arousal"]["by_seed"]) == 2 for judge in report["real"]
    )
    retrieval = report["rows"][0]
    # Real training bars are copies by definition, which is how the measure is known to
    # work.
    assert (
        retrieval["model"] == "retrieval"
        and retrieval["copied_bars"]["mean"] == 1
        and retrieval["nll"] is None
    )
    assert report["unseen"]["copied_bars"] < 1
    line = next(
        line
        for line in text.splitlines()
        if line.startswith("| semg_gmvae | semi-supervised |")
    )
    assert line.endswith("| 82.54 / 79.56 / 84.60 / 82.00 |")


def test_the_curve_has_retrieval_beside_each_strength_of_each_model(done):
    rows = json.loads((done / "strength.json").read_text())["rows"]
    assert [(row["model"], row["strength"]) for row in rows] == [("retrieval", 1.0)] + [
        (model, strength)
        for model in ("control", "ssvae", "semg_gmvae")
        for strength in (1.0, 3.0)
    ]
    own = {(row["model"], row["strength"]): row["own"]["valence"] for row in rows}
    assert own["control", 1.0] is None and 0 <= own["semg_gmvae", 3.0]["mean"] <= 1
    tables = json.loads((done / "tables.json").read_text())["rows"]
    (as_trained,) = (
        row
        for row in tables
        if row["model"] == "semg_gmvae" and row["taught"] == "semi-supervised"
    )
    (curve,) = (
        row for row in rows if (row["model"], row["strength"]) == ("semg_gmvae", 1.0)
    )
    assert (
        curve["written"]["arousal"]["auc"]
        == pytest.approx(as_trained["judges"]["boosting"]["arousal"]["auc"])
        or best_of(done) != "boosting"
    )
    assert curve["distance"]["mean"] > 0


def best_of(done):
    return json.loads((done / "strength.json").read_text())["judge"]


def test_turned_songs_say_how_much_of_them_is_kept(done):
    for row in json.loads((done / "transfer.json").read_text())["rows"]:
        assert set(row["kept"]) == {"note_f1", "rhythm", "pitch_classes"}
        assert all(0 <= value <= 1 for of in row["kept"].values() for value in of.values())


def test_what_stands_is_neither_trained_nor_measured_again(shared, done, monkeypatch):
    before = (done / "alpha.json").read_bytes()
    again = sorted((done / "measured" / "latents").glob("*alpha=0.0*"))
    kept = again[0].read_bytes()
    again[0].unlink()
    monkeypatch.setattr(Trainer, "run", lambda self: pytest.fail("trained again"))
    assert main(command(shared, "alpha", done)) == 0
    assert (done / "alpha.json").read_bytes() == before and again[0].read_bytes() == kept


def test_several_workers_write_the_same(shared, done, tmp_path):
    assert main(command(shared, "transfer", tmp_path, "--workers", "2")) == 0
    for name in ("transfer.json", "transfer.md"):
        assert (tmp_path / name).read_bytes() == (done / name).read_bytes()


def test_gains_are_against_songs_written_again_and_moves_against_other_pairs(done):
    for row in json.loads((done / "transfer.json").read_text())["rows"]:
        turned, again = (np.array(row[name], float) for name in ("turned", "written_again"))
        assert row["gain"] == pytest.approx(
            np.nanmean((turned - again)[~np.eye(4, dtype=bool)]), abs=1e-3
        )
    for row in json.loads((done / "swap.json").read_text())["rows"]:
        for name, moved in row["moved"].items():
            sides = row["similarity"][name]
            assert moved["mean"] == pytest.approx(
                sides["with_other"]["mean"] - sides["with_shuffled"]["mean"], abs=1e-3
            )


def start(shared, tmp_path, workers):
    """The command at work on trainings that would take days, once each worker has logged
    a step."""
    words = command(shared, "swap", tmp_path, "--workers", workers)
    long = [
        *words,
        "--set",
        "overrides=['train.steps=1000000', 'train.validate_every=1000000', 'train.log_every=50']",
    ]
    script = [
        sys.executable,
        "-c",
        "import sys; from training.cli import main; sys.exit(main(sys.argv[1:]))",
        *long,
    ]
    running, deadline = (
        subprocess.Popen(script, stderr=subprocess.PIPE, text=True),
        time.monotonic() + 100,
    )
    while len(
        [log for log in tmp_path.glob("runs/*/log.jsonl") if "train" in log.read_text()]
    ) < int(workers):
        assert running.poll() is None and time.monotonic() < deadline
        time.sleep(0.1)
    return running


@pytest.mark.parametrize("workers", ["1", "2"])
def test_a_stop_reaches_every_training_and_the_command_goes_on(shared, tmp_path, workers):
    with start(shared, tmp_path, workers) as running:
        running.send_signal(signal.SIGTERM)
        assert running.wait(60) == 143
        assert "the same command goes on from there" in running.stderr.read()
    kept = [read(path) for path in sorted(tmp_path.glob("runs/*/last.safetensors"))]
    assert len(kept) == int(workers) and all(one.facts["step"] > 0 for one in kept)


@pytest.mark.skipif(
    not Path("/proc/self/status").exists(), reason="finds the workers in /proc"
)
@pytest.mark.parametrize("whom", ["a worker", "the command"])
def test_a_kill_leaves_nobody_at_work(shared, tmp_path, whom):
    with start(shared, tmp_path, "2") as running:
        workers = workers_of(running.pid)
        assert len(workers) == 2
        os.kill(workers[0] if whom == "a worker" else running.pid, signal.SIGKILL)
        code = running.wait(60)
        assert whom == "the command" or (
            code == 1 and "a worker was killed" in running.stderr.read()
        )
    deadline = time.monotonic() + 30
    while any(is_alive(pid) for pid in workers):
        assert time.monotonic() < deadline
        time.sleep(0.1)


def workers_of(pid):
    """Processes that a process has spawned to work."""
    found = []
    for folder in Path("/proc").glob("[0-9]*"):
        try:
            if (
                f"PPid:\t{pid}\n" in (folder / "status").read_text()
                and b"spawn_main" in (folder / "cmdline").read_bytes()
            ):
                found.append(int(folder.name))
        except (FileNotFoundError, ProcessLookupError):
            continue
    return found


def is_alive(pid):
    try:
        return "State:\tZ" not in Path(f"/proc/{pid}/status").read_text()
    except (FileNotFoundError, ProcessLookupError):
        return False


def test_the_budget_is_in_the_name_of_what_was_measured(shared, done, tmp_path):
    assert (
        main(
            command(
                shared,
                "tables",
                tmp_path,
                "--set",
                "models=['retrieval']",
                "--set",
                "judging.pieces=1",
            )
        )
        == 0
    )
    path = Path("measured") / "judged" / "retrieval-seed0.json"
    few, more = (json.loads((folder / path).read_text()) for folder in (tmp_path, done))
    assert (
        few["asked"] != more["asked"]
        and len(few["measured"]["wanted"]) == 4
        and len(more["measured"]["wanted"]) == 8
    )


@pytest.mark.parametrize(
    ("name", "words", "says"),
    [
        (
            "tabels",
            (),
            "must be one of tables, rho, unlabelled, alpha, swap, strength, transfer, not tabels",
        ),
        (
            "tables",
            ("recipes.control={file='control.toml', overrides=['data.songs=judges']}",),
            "judges' songs",
        ),
        (
            "tables",
            ("recipes.gan-cvae='control.toml'",),
            "unknown key recipes.gan-cvae: did you mean gan_cvae?",
        ),
        (
            "alpha",
            ("recipes.semg_gmvae='control.toml'",),
            "model.alpha is no setting of the recipe of semg_gmvae",
        ),
        (
            "rho",
            ("recipes.ssvae={file='ssvae.toml', overrides=['data.tracks=[\"Piano\"]']}",),
            "other tracks",
        ),
        (
            "swap",
            (
                "recipes.ssvae={file='ssvae.toml', overrides=['data.bars=2']}",
                "models=['control']",
            ),
            "no model that takes part",
        ),
        (
            "tables",
            ("recipes.ssvae={file='ssvae.toml', overrides=['data.overflow=tail']}",),
            "differ in data.overflow",
        ),
        ("tables", ("judging.split='nowhere'",), "judging.split must be"),
        (
            "transfer",
            ("recipes.semg_gmvae='control.toml'",),
            "a Control cannot turn a song to another emotion",
        ),
        ("tables", ("judge='control.toml'",), "is no judge"),
    ],
)
def test_what_cannot_be_done_is_said_in_a_sentence(
    shared, tmp_path, capsys, name, words, says
):
    sets = [word for one in words for word in ("--set", one)]
    assert main(command(shared, name, tmp_path, *sets)) in (1, 2)
    printed = capsys.readouterr().err.strip().splitlines()[-1]
    assert says in printed and printed.startswith("moodroll-model evaluate: ")
    # What the settings tell is told before the first training.
    assert (
        says in ("a Control cannot turn a song to another emotion", "is no judge")
        or not (tmp_path / "runs").exists()
    )


def test_a_run_of_other_settings_is_not_taken_for_the_plans(shared, done, capsys):
    assert main(command(shared, "swap", done, "--set", "overrides=['train.steps=3']")) == 1
    assert "was trained with another train" in capsys.readouterr().err


def test_a_run_and_an_experiment_are_two_things(shared, tmp_path, capsys):
    both = command(shared, "tables", tmp_path)
    alone = [both[0], "runs/x", *both[3:]]
    for words in (
        [both[0], "runs/x", *both[1:]],
        [both[0], *both[5:]],
        [*both[:3], *both[5:]],
        alone,
    ):
        assert main(words) == 2
        assert "--" in capsys.readouterr().err
