"""Judging: what the judges make of real songs (the ceiling), of rivals and of a generator's pieces."""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from schemas.labels import QUADRANTS
from schemas.song import TRACKS, Song
from training.config import AXES, UNLABELLED
from training.data.cache import open_split, prepare
from training.data.release import Release, open_release
from training.engine.checkpoint import load_run
from training.errors import RunFailed
from training.evaluation import metrics as measures
from training.evaluation.baselines import Retrieval, RuleEditing
from training.evaluation.classifiers import (
    Judge,
    JudgesConfig,
    Network,
    Windows,
    load_judge,
    refuse_unfit,
    taught_judges,
    windows_of,
)
from training.evaluation.ensemble import Ensemble
from training.evaluation.handcrafted import Boosting, Rules
from training.evaluation.markdown import CEILING_SAYS, judges_table
from training.evaluation.whole_songs import (
    labelled_songs,
    whole_song_judges,
    whole_songs_table,
)
from training.generation.writing import Writer

CALIBRATION_BINS = 10


def ceiling(
    judges: Sequence[Judge], real: Windows, settings: JudgesConfig
) -> dict[str, Any]:
    """Of each judge and axis, over songs: accuracy, balanced accuracy, AUC with intervals,
    calibration; the quadrants; and window_balanced, over single windows."""
    songs, first = np.unique(real.song, return_index=True)
    label = real.label[first]
    report: dict[str, Any] = {}
    for judge in judges:
        by_window = judge.probability(real.songs)
        said = np.stack([by_window[real.song == song].mean(0) for song in songs])
        report[judge.name] = {
            axis: {
                **_believed(
                    said[label[:, index] >= 0, index],
                    label[label[:, index] >= 0, index],
                    settings,
                ),
                "window_balanced": _of_windows(by_window[:, index], real.label[:, index]),
            }
            for index, axis in enumerate(AXES)
        }
        both = (label != UNLABELLED).all(1)
        report[judge.name]["quadrants"] = measures.accuracies(
            (said[both] > 0.5) @ [2, 1], label[both] @ [2, 1]
        )
        known = (real.label != UNLABELLED).all(1)
        if known.any():
            right = ((by_window > 0.5) == real.label)[known].all(1)
            report[judge.name]["quadrants"]["window_accuracy"] = float(right.mean())
    return report


def _of_windows(said: np.ndarray, label: np.ndarray) -> float | None:
    """Balanced accuracy over single windows, which is the ceiling of written pieces, a
    window each; None of a single class."""
    if len(np.unique(label[label >= 0])) < 2:
        return None
    return float(
        measures.accuracies((said > 0.5)[label >= 0].astype(int), label[label >= 0])[
            "balanced"
        ]
    )


def _believed(
    said: np.ndarray, label: np.ndarray, settings: JudgesConfig
) -> dict[str, Any]:
    found = measures.accuracies((said > 0.5).astype(int), label) | {
        "auc": measures.auc(said, label)
    }
    random, drawn = np.random.default_rng(settings.seed), []
    for _ in range(settings.resamples):
        rows = random.integers(0, len(said), len(said))
        one = measures.accuracies((said[rows] > 0.5).astype(int), label[rows])
        drawn.append(
            (one["accuracy"], one["balanced"], measures.auc(said[rows], label[rows]))
        )
    intervals = {}
    for name, values in zip(
        ("accuracy", "balanced", "auc"), np.array(drawn).T, strict=True
    ):
        # A resample of few songs may lack a class, and has no AUC then.
        if not np.isnan(values).all():
            intervals[f"{name}_interval"] = np.nanpercentile(values, [2.5, 97.5]).tolist()
    return {
        **found,
        **intervals,
        "brier": float(((said - label) ** 2).mean()),
        "calibration_error": calibration(said, label),
    }


def calibration(said: np.ndarray, label: np.ndarray) -> float:
    """Expected calibration error: mean gap between the chance said and the share that
    was high, in ten bins of chance."""
    bins = np.minimum((said * CALIBRATION_BINS).astype(int), CALIBRATION_BINS - 1)
    gaps = [
        abs(said[bins == one].sum() - label[bins == one].sum()) for one in np.unique(bins)
    ]
    return float(sum(gaps) / len(said))


def pieces_of(
    writer: Writer, bars: int, settings: JudgesConfig
) -> tuple[list[Song], np.ndarray]:
    """As many pieces of every quadrant, and the classes that each was asked to have, (n,
    2)."""
    songs = list[Song]()
    for levels in QUADRANTS:
        songs += writer.write(
            dict(zip(AXES, levels, strict=True)), settings.pieces, bars, settings
        )
    return songs, np.repeat(list(QUADRANTS), settings.pieces, axis=0)


def verdicts(
    judges: Sequence[Judge], songs: Sequence[Song], wanted: np.ndarray
) -> dict[str, Any]:
    """How often each judge hears what was asked for; and the AUC, which needs no
    threshold."""
    report: dict[str, Any] = {}
    for judge in judges:
        chance = judge.probability(songs)
        said = (chance > 0.5).astype(int)
        report[judge.name] = {
            axis: {
                **measures.accuracies(said[:, of], wanted[:, of]),
                "auc": measures.auc(chance[:, of], wanted[:, of]),
            }
            for of, axis in enumerate(AXES)
        }
        report[judge.name]["quadrants"] = measures.accuracies(
            said @ [2, 1], wanted @ [2, 1]
        )
    return report


def judge(
    run: str,
    generator: str,
    release: str,
    out: str,
    settings: JudgesConfig,
    cache: str | None = None,
    device: str = "cpu",
) -> str:
    """Write OUT/judges.json and .md: judges on real songs, retrieved and edited ones and a
    generator's pieces; the Markdown. Without a run, the judges of whole songs alone."""
    opened = open_release(release)
    if not run:
        if generator:
            raise RunFailed(
                "name a judge to judge a generator: judges of whole songs hear none"
            )
        return _written(*whole_songs(opened, TRACKS, settings), out)
    report, texts, tracks = judge_windows(run, generator, opened, settings, cache, device)
    if settings.whole_songs:
        more, says = whole_songs(opened, tracks, settings)
        report, texts = {**report, **more}, [*texts, *says]
    return _written(report, texts, out)


def whole_songs(
    release: Release, tracks: Sequence[str], settings: JudgesConfig
) -> tuple[dict[str, Any], list[str]]:
    """The report of judges of whole songs, and its table."""
    taught = labelled_songs(release, "train", tracks, for_judges=True)
    asked = labelled_songs(release, settings.split, tracks)
    seed = settings.seed
    judges: list[Rules | Boosting | Ensemble] = [Rules(), Boosting(seed), Ensemble(seed)]
    found = whole_song_judges(judges, taught, asked, seed, settings.resamples)
    sources = [name for name in release.manifest.get("waterfall", {}) if name != "all"]
    says = whole_songs_table(found, settings.split, len(taught.songs), sources)
    return {"whole_songs": found}, [says]


def judge_windows(
    run: str,
    generator: str,
    opened: Release,
    settings: JudgesConfig,
    cache: str | None,
    device: str,
) -> tuple[dict[str, Any], list[str], Sequence[str]]:
    """The report of judges of windows, its tables, and the tracks that they hear."""
    model, config = load_judge(run, opened, device)
    writers: dict[str, Writer] = {}
    if generator:
        found, its_config, its_facts = load_run(generator, device)
        refuse_unfit(its_config, its_facts, opened, config.data)
        writers[its_config.name] = Writer.of(found, its_config, its_facts)
    folder = prepare(opened, config.data, cache)
    training, split = open_split(folder, "train"), open_split(folder, settings.split)
    judges = taught_judges(
        Network(model, config.data, opened.remi, device), training, config.data, settings
    )
    real = windows_of(split, np.ones(len(split.ids), bool), config.data, settings.windows)
    report = {"real": ceiling(judges, real, settings)}
    texts = [judges_table(report["real"], f"{CEILING_SAYS} The {settings.split} split.")]
    plain = {
        rival.name: Writer(rival(training, config.data), config.data)
        for rival in (Retrieval, RuleEditing)
    }
    for name, writer in (plain | writers).items():
        report[name] = verdicts(judges, *pieces_of(writer, config.data.bars, settings))
        texts.append(
            judges_table(
                report[name], f"{settings.pieces} pieces of each quadrant by {name}."
            )
        )
    return report, texts, config.data.tracks


def _written(report: dict[str, Any], texts: Sequence[str], out: str) -> str:
    place = Path(out)
    place.mkdir(parents=True, exist_ok=True)
    (place / "judges.json").write_text(
        json.dumps(measures.rounded(report), indent=2) + "\n"
    )
    (place / "judges.md").write_text("\n".join(texts))
    return "\n".join(texts)
