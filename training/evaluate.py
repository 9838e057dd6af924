"""Evaluate: what a trained model knows and what it writes, as one JSON report with plots, each figure beside its baseline."""

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional

from schemas.keys import N_KEYS
from schemas.labels import QUADRANTS
from schemas.remi import PAD, VOCABULARY_SIZE
from schemas.song import Song
from training import measures, plots
from training.checkpoint import load_run
from training.config import RunConfig, RunFailed
from training.data import AXES, SPLITS, Split, crops, open_release, open_split, prepare
from training.sample import Choice, exchange, prior_latents, save_pieces, write_many
from training.views import song_of

BATCH = 16
COLLAPSED_SHARE, COLLAPSED_DISTANCE, COLLAPSED_KL = 0.02, 1.0, 0.01


@dataclass(frozen=True)
class EvaluateConfig:
    """How much is looked at: songs of the split, crops a song, songs of the training split (for n-grams and probes), written
    pieces a quadrant, pairs whose parts are exchanged, bars of what is written; choice of tokens; probe_steps of each probe."""

    split: str = "test"
    songs: int = 400
    crops: int = 4
    training_songs: int = 400
    pieces: int = 5
    pairs: int = 8
    temperature: float = 1.2
    top_p: float = 0.9
    seed: int = 0
    probe_steps: int = 300


@dataclass(frozen=True, eq=False)
class Seen:
    """All crops of some songs, worked through once: mean, log_variance (n, T, latent) an axis; rhythm (n, T, 16), key (n, T);
    song (n) index into the split; label (n, 2); tokens, target (n, T, L); nll, right (n, T, L) of the decoder, taught."""

    mean: dict[str, np.ndarray]
    log_variance: dict[str, np.ndarray]
    rhythm: np.ndarray
    key: np.ndarray
    song: np.ndarray
    label: np.ndarray
    tokens: np.ndarray
    target: np.ndarray
    nll: np.ndarray
    right: np.ndarray


def evenly(split: Split, bars: int, songs: int, per_song: int) -> tuple[np.ndarray, np.ndarray]:
    """Song and first bar of evenly spaced crops of the first `songs` songs that are long enough."""
    chosen = np.flatnonzero(split.n_bars >= bars)[:songs]
    starts = [np.unique(np.linspace(0, split.n_bars[song] - bars, per_song).astype(int)) for song in chosen]
    return np.repeat(chosen, [len(start) for start in starts]), np.concatenate([np.empty(0, int), *starts])


@torch.no_grad()
def look(model: Any, config: RunConfig, split: Split, songs: int, per_song: int, device: str) -> Seen:
    """Encode and decode crops of a split, z drawn once from q(z|x) with a fixed seed."""
    song, start = evenly(split, config.data.bars, songs, per_song)
    if not len(song):
        raise RunFailed(f"no song of the split has data.bars = {config.data.bars} bars: nothing can be evaluated")
    generator = torch.Generator(device).manual_seed(0)
    parts: list[dict[str, np.ndarray]] = []
    for at in range(0, len(song), BATCH):
        of = slice(at, at + BATCH)
        batch = crops(split, song[of], start[of], config.data.bars, config.data.tokens_per_bar, split.labels[song[of]])
        tokens, target = (torch.from_numpy(x).to(device).long() for x in (batch.tokens, batch.target))
        gaussians = model.encode(tokens)
        z = [
            mean + (0.5 * log_variance).exp() * torch.randn(mean.shape, generator=generator, device=device)
            for mean, log_variance in gaussians.values()
        ]
        layout = model.layout(tokens)
        logits = layout.spread(model.decoder(layout.gather(tokens), layout, torch.cat(z, -1)).float())
        nll = functional.cross_entropy(logits.flatten(0, 2), target.flatten(), reduction="none").view(target.shape)
        found = {"rhythm": batch.rhythm, "key": batch.key, "label": batch.label, "tokens": batch.tokens, "target": batch.target}
        found |= {"nll": nll.cpu().numpy(), "right": (logits.argmax(-1) == target).cpu().numpy()}
        for axis, (mean, log_variance) in gaussians.items():
            found |= {f"mean.{axis}": mean.cpu().numpy(), f"log_variance.{axis}": log_variance.cpu().numpy()}
        parts.append(found)
    whole = {name: np.concatenate([part[name] for part in parts]) for name in parts[0]}
    mean, log_variance = ({axis: whole.pop(f"{name}.{axis}") for axis in AXES} for name in ("mean", "log_variance"))
    return Seen(mean, log_variance, song=song, **whole)


def token_report(seen: Seen, training: Split) -> dict[str, Any]:
    """NLL and accuracy of each token type, and of unigram and bigram models fitted on the training split."""
    real = seen.target != PAD
    types = measures.token_types(seen.target)
    by_type = {}
    for index, name in enumerate(measures.TOKEN_TYPES):
        of = real & (types == index)
        if of.any():
            by_type[name] = {"nll": float(seen.nll[of].mean()), "accuracy": float(seen.right[of].mean()), "n": int(of.sum())}
    grams = measures.NGram(VOCABULARY_SIZE)
    grams.add(training.tokens[:-1].astype(np.int64), training.tokens[1:].astype(np.int64))
    baselines = grams.nll(seen.tokens[real].astype(np.int64), seen.target[real].astype(np.int64))
    return {
        "nll": float(seen.nll[real].mean()),
        "accuracy": float(seen.right[real].mean()),
        **{f"{name}_nll": nll for name, nll in baselines.items()},
        "by_type": by_type,
    }


def feature_report(model: Any, seen: Seen, device: str) -> dict[str, Any]:
    """How well the local decoders tell rhythm and key from the right latent, beside always saying the commonest."""
    report: dict[str, Any] = {}
    for axis, name, wanted in (("arousal", "rhythm", seen.rhythm), ("valence", "key", seen.key)):
        with torch.no_grad():
            logits = model.feature_logits(axis, model.local[axis], torch.from_numpy(seen.mean[axis]).to(device))
        keep = np.ones(wanted.shape, bool) if name == "rhythm" else wanted < N_KEYS
        report[name] = measures.accuracies(logits.argmax(-1).cpu().numpy()[keep], wanted[keep].astype(int))
    return report


def class_report(model: Any, seen: Seen) -> dict[str, Any]:
    """q(y|x) against the labels, a song's classes by the log-odds of all its crops' bars; the four quadrants together."""
    report: dict[str, Any] = {}
    songs, first = np.unique(seen.song, return_index=True)
    said = []
    for index, axis in enumerate(AXES):
        with torch.no_grad():
            odds = (
                model.mixtures[axis]
                .log_odds(torch.from_numpy(seen.mean[axis]).to(model.mixtures[axis].means.device))
                .cpu()
                .numpy()
            )
        score = (odds[..., 1] - odds[..., 0]).mean(1)
        by_song = np.array([score[seen.song == song].mean() for song in songs])
        label = seen.label[first, index]
        said.append((by_song > 0).astype(int))
        report[axis] = measures.accuracies(said[-1][label >= 0], label[label >= 0])
        report[axis]["ranking_auc"] = auc(by_song[label >= 0], label[label >= 0])
        report[axis]["share_high"] = float(said[-1].mean())
    both = (seen.label[first] >= 0).all(1)
    report["quadrants"] = measures.accuracies((said[0] * 2 + said[1])[both], (seen.label[first] @ [2, 1])[both])
    return report


def auc(score: np.ndarray, label: np.ndarray) -> float:
    """Chance that a high song scores over a low one."""
    high, low = score[label == 1], score[label == 0]
    return float((high[:, None] > low).mean() + (high[:, None] == low).mean() / 2) if len(high) and len(low) else float("nan")


def latent_report(model: Any, seen: Seen) -> dict[str, Any]:
    """Components' distance, active units, KL, and what has collapsed."""
    report = {}
    for axis in AXES:
        mixture = model.mixtures[axis]
        variance = float(mixture.log_variance.exp())
        mean, log_variance = (
            torch.from_numpy(x)
            for x in (
                seen.mean[axis].reshape(-1, seen.mean[axis].shape[-1]),
                seen.log_variance[axis].reshape(-1, seen.mean[axis].shape[-1]),
            )
        )
        with torch.no_grad():
            means = mixture.means.cpu()
            share = float(mixture.log_odds(mean.to(mixture.means.device)).softmax(-1)[:, 1].mean())
            distance = float(mixture.distance())
            nearest = means[mixture.log_odds(mean.to(mixture.means.device)).argmax(-1).cpu()]
            kl = 0.5 * (np.log(variance) - log_variance + ((mean - nearest).pow(2) + log_variance.exp()) / variance - 1)
        report[axis] = {
            "distance": distance, "bhattacharyya": distance**2 / 8, "share_high": share,
            "active_units": int((mean.var(0) > 0.01 * variance).sum()), "units": mean.shape[1],
            "kl_per_bar": float(kl.sum(1).mean()),
            "collapsed": {
                "one_cluster": min(share, 1 - share) < COLLAPSED_SHARE, "components_meet": distance < COLLAPSED_DISTANCE,
                "posterior_is_prior": float(kl.mean()) < COLLAPSED_KL,
            },
        }  # fmt: skip
    return report


def probe(inputs: Sequence[np.ndarray], wanted: Sequence[np.ndarray], classes: int, steps: int) -> float:
    """Score on the second rows of a fresh small network taught on the first: accuracy, or R² where classes is 0."""
    with torch.random.fork_rng([]):
        torch.manual_seed(0)
        train, test = (torch.from_numpy(np.ascontiguousarray(x, np.float32)) for x in inputs)
        middle, spread = train.mean(0), train.std(0) + 1e-6
        train, test = (train - middle) / spread, (test - middle) / spread
        net = nn.Sequential(nn.Linear(train.shape[1], 64), nn.GELU(), nn.Linear(64, classes or 1))
        goal, held = (torch.from_numpy(np.ascontiguousarray(x, np.int64 if classes else np.float32)) for x in wanted)
        centre, scale = (goal.mean(), goal.std() + 1e-6) if not classes else (0, 1)
        optimiser = torch.optim.AdamW(net.parameters(), 3e-3, weight_decay=1e-2)
        for _ in range(steps):
            rows = torch.randint(0, len(train), (min(512, len(train)),))
            out = net(train[rows])
            loss = (
                functional.cross_entropy(out, goal[rows])
                if classes
                else functional.mse_loss(out[:, 0], (goal[rows] - centre) / scale)
            )
            optimiser.zero_grad()
            loss.backward()  # type: ignore[no-untyped-call]
            optimiser.step()
        with torch.no_grad():
            out = net(test)
        if classes:
            return float((out.argmax(-1) == held).float().mean())
        return float(1 - (out[:, 0] * scale + centre - held).pow(2).mean() / (held - held.mean()).pow(2).mean().clamp(min=1e-9))


def leakage_report(training: Seen, seen: Seen, steps: int) -> dict[str, Any]:
    """What fresh probes read from each latent: key (accuracy) and onsets a bar (R²); what the wrong one tells is leakage."""
    report: dict[str, Any] = {}
    keep = [data.key.ravel() < N_KEYS for data in (training, seen)]
    keys = tuple(data.key.ravel()[k] for data, k in zip((training, seen), keep, strict=True))
    density = tuple(data.rhythm.sum(-1).ravel() for data in (training, seen))
    report["key_majority"] = (
        float((keys[1] == np.bincount(keys[0], minlength=N_KEYS).argmax()).mean()) if len(keys[1]) else float("nan")
    )
    for axis, name in zip(AXES, ("z_r", "z_k"), strict=True):
        flat = tuple(data.mean[axis].reshape(-1, data.mean[axis].shape[-1]) for data in (training, seen))
        if len(keys[0]) and len(keys[1]):
            report[f"key_from_{name}"] = probe(tuple(x[k] for x, k in zip(flat, keep, strict=True)), keys, N_KEYS, steps)
        report[f"onsets_from_{name}"] = probe(flat, density, 0, steps)
    return report


def z_of(seen: Seen, rows: np.ndarray, device: str) -> Tensor:
    """Latent means of some crops: (n, T, 2·latent)."""
    return torch.from_numpy(np.concatenate([seen.mean[axis][rows] for axis in AXES], -1)).to(device)


def songs_of(tokens: np.ndarray) -> list[Song]:
    """The songs that padded crops (n, T, L) say."""
    return [song_of(piece[piece != PAD].astype(np.uint16)) for piece in tokens]


def writing_report(model: Any, config: RunConfig, asked: EvaluateConfig, seen: Seen, device: str, out: Path) -> dict[str, Any]:
    """Reconstructions (note F1) and exchanges (eq. 20), beside what unrelated songs give; piano rolls of a pair."""
    choice = Choice(0.0, 1.0, asked.seed)
    _, firsts = np.unique(seen.song, return_index=True)
    rows = np.random.default_rng(asked.seed).permutation(firsts)[: 2 * min(asked.pairs, len(firsts) // 2)]
    if not len(rows):
        return {}
    bars = config.data.bars
    originals = songs_of(seen.tokens[rows])
    z = z_of(seen, rows, device)
    remade = [song_of(piece) for piece in write_many(model, z, config, choice)]
    half = len(rows) // 2
    report: dict[str, Any] = {
        "note_f1": measures.mean_of([measures.note_f1(a, b, bars) for a, b in zip(remade, originals, strict=True)]),
        "note_f1_of_unrelated": measures.mean_of(
            [measures.note_f1(a, b, bars) for a, b in zip(remade, originals[half:] + originals[:half], strict=True)]
        ),
    }
    a, b = originals[:half], originals[half:]
    for axis, name in zip(AXES, ("z_r", "z_k"), strict=True):
        new_z, _ = exchange(z[:half], z[half:], axis)
        changed = [song_of(piece) for piece in write_many(model, new_z, config, choice)]
        sides = {"with_own": (changed, a), "with_other": (changed, b), "unrelated": (a, b)}
        vectors = {"rhythm": lambda song: measures.rhythm_vector(song, bars), "pitch_classes": pitch_classes}
        report[f"exchange_{name}"] = {
            feature: {side: likeness(*pair, vector) for side, pair in sides.items()} for feature, vector in vectors.items()
        }
        plots.rolls({"A": a[0], "B": b[0], f"A with {name} of B": changed[0]}, bars, out / f"exchange_{name}.png")
    plots.rolls({"original": originals[0], "reconstruction": remade[0]}, bars, out / "reconstruction.png")
    return report


def likeness(some: Sequence[Song], others: Sequence[Song], vector: Callable[[Song], np.ndarray]) -> float:
    """Mean cosine of a feature vector over pairs, eq. (20)."""
    return float(np.mean([measures.cosine(vector(one), vector(other)) for one, other in zip(some, others, strict=True)]))


def pitch_classes(song: Song) -> np.ndarray:
    """Sounding time of each pitch class of a song, 12."""
    return measures.chroma(song).sum(0)


def emotion_report(model: Any, config: RunConfig, asked: EvaluateConfig, seen: Seen, out: Path) -> dict[str, Any]:
    """Pieces written for each quadrant (kept as MIDI): notes a bar, minor bars and tempo beside those of labelled songs."""
    report: dict[str, Any] = {}
    _, firsts = np.unique(seen.song, return_index=True)
    choice = Choice(asked.temperature, asked.top_p, asked.seed)
    for (arousal, valence), name in QUADRANTS.items():
        z = prior_latents(model, {"arousal": arousal, "valence": valence}, asked.pieces, config.data.bars, asked.seed)
        pieces = write_many(model, z, config, choice)
        save_pieces(pieces, [f"{name}-{index:03d}" for index in range(len(pieces))], str(out / "midi"))
        of_class = firsts[(seen.label[firsts] == (arousal, valence)).all(1)]
        real = [measures.song_facts(song, config.data.bars) for song in songs_of(seen.tokens[of_class])]
        report[name] = {
            "written": measures.mean_of([measures.song_facts(song_of(piece), config.data.bars) for piece in pieces]),
            "real": {**measures.mean_of(real), "n": len(real)},
        }
    return report


def evaluate(
    run: str, release: str, out: str, asked: EvaluateConfig, cache: str | None = None, device: str = "cpu"
) -> dict[str, Any]:
    """Write OUT/report.json, plots and MIDI; the report."""
    if asked.split not in SPLITS:
        raise RunFailed(f"--split must be one of {', '.join(SPLITS)}, not {asked.split}")
    model, config, facts = load_run(run, device)
    opened = open_release(release)
    folder = prepare(opened, config.data, cache)
    training, split = open_split(folder, "train"), open_split(folder, asked.split)
    place = Path(out)
    place.mkdir(parents=True, exist_ok=True)
    seen = look(model, config, split, asked.songs, asked.crops, device)
    taught = look(model, config, training, asked.training_songs, 1, device)
    report: Mapping[str, Any] = {
        "run": {
            "name": config.name,
            "step": facts["step"],
            "same_release": facts["release"] == opened.sha256,
            "split": asked.split,
            "crops": len(seen.song),
        },
        "tokens": token_report(seen, training),
        "features": feature_report(model, seen, device),
        "classes": class_report(model, seen),
        "latent": latent_report(model, seen),
        "leakage": leakage_report(taught, seen, asked.probe_steps),
        "writing": writing_report(model, config, asked, seen, device, place),
        "emotion": emotion_report(model, config, asked, seen, place) if asked.pieces else {},
    }
    plots.scatter(model, seen, place / "latent.png")
    log = Path(run) / "log.jsonl"
    if log.exists():
        plots.curves(log, place / "curves.png")
    result = measures.rounded(dict(report))
    (place / "report.json").write_text(json.dumps(result, indent=2) + "\n")
    return result
