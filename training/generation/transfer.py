"""Sample: the latents of songs, read from MIDI or a release, turned and exchanged; and
written pieces as MIDI files."""

import json
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor

from schemas.labels import QUADRANTS
from schemas.midi import write_midi
from schemas.remi import PAD, RemiConfig
from schemas.song import Song
from training.config import DataConfig
from training.data.cache import Split
from training.data.loader import crops
from training.data.midi import read_midi
from training.data.views import song_of, view_song
from training.errors import RunFailed
from training.protocols import Autoencoder, Classifier, Clustered, require


@torch.no_grad()
def song_latents(model: Any, tokens: Tensor) -> Tensor:
    """Means of q(z|x) of each bar: tokens (B, T, L) to (B, T, Σd)."""
    return torch.cat(
        [mean for mean, _ in require(model, Autoencoder).encode(tokens).values()], -1
    )


@torch.no_grad()
def infer_classes(model: Any, tokens: Tensor) -> list[int]:
    """Likelier class of each axis by the model's odds over all bars of one piece, tokens
    (1, T, L)."""
    return [
        int(odds.sum() > 0) for odds in require(model, Classifier).odds(tokens).values()
    ]


@torch.no_grad()
def shift_emotion(
    model: Any,
    z: Tensor,
    source: Sequence[int],
    target: Sequence[int | None],
    strength: float,
) -> Tensor:
    """z (..., Σd) + λ(μ_target − μ_source) on every axis that has a target, eq. (21)."""
    means = [mixture.means for mixture in require(model, Clustered).mixtures.values()]
    pairs = zip(means, source, target, strict=True)
    moves = [
        torch.zeros_like(mean[0]) if goal is None else mean[goal] - mean[own]
        for mean, own, goal in pairs
    ]
    return z + strength * torch.cat(moves)


def swap_latents(first: Tensor, second: Tensor, axis: str) -> tuple[Tensor, Tensor]:
    """Both latents with the part of `axis` (arousal: z_r, valence: z_k) of the other;
    pieces are cut to the shorter."""
    bars = min(first.shape[-2], second.shape[-2])
    (a_r, a_k), (b_r, b_k) = (z[..., :bars, :].chunk(2, -1) for z in (first, second))
    mixed = torch.cat([b_r, a_k], -1), torch.cat([a_r, b_k], -1)
    return mixed if axis == "arousal" else (mixed[1], mixed[0])


class Piece(NamedTuple):
    """tokens (1, T, L); tonic (1, T) that they are written relative to, 0 where pitch is
    absolute."""

    tokens: Tensor
    tonic: np.ndarray


def song_of_piece(piece: Piece) -> Song:
    """What the model was given of a song, as a song."""
    tokens = piece.tokens.flatten().cpu().numpy()
    return song_of(tokens, "source", piece.tonic[0])


def read_piece(
    name: str, data: DataConfig, open_data: Callable[[str], Split] | None, start: int
) -> Piece:
    """A MIDI file, or a song_id of the release, from bar `start` on; RunFailed where there
    is none."""
    if Path(name).exists():
        return _midi_piece(name, data, start)
    if open_data is None:
        raise RunFailed(
            f"{name} is no file: name a MIDI file, or a song_id together with --data RELEASE"
        )
    for split in map(open_data, ("test", "validation", "train")):
        if name in split.ids:
            song = np.array([split.ids.index(name)])
            bars = min(data.bars, int(split.n_bars[song[0]]) - start)
            if bars < 1:
                raise RunFailed(
                    f"{name} has {split.n_bars[song[0]]} bars: start before that"
                )
            found = crops(
                split,
                song,
                np.array([start]),
                bars,
                data.tokens_per_bar,
                split.labels[song],
            )
            return Piece(torch.from_numpy(found.tokens.astype(np.int64)), found.tonic)
    raise RunFailed(f"{name} is neither a file nor a song_id of the release")


def _midi_piece(path: str, data: DataConfig, start: int) -> Piece:
    view = view_song(read_midi(path), data, RemiConfig())
    parts = np.split(view.tokens, view.bar_offset[1:-1])[start : start + data.bars]
    if not any(len(part) > 1 for part in parts):
        raise RunFailed(
            f"{path} has no notes of the tracks {', '.join(data.tracks)} from bar {start} on"
        )
    padded = [
        np.pad(part, (0, data.tokens_per_bar - len(part)), constant_values=PAD)
        for part in parts
    ]
    tonic = view.tonic[start : start + len(padded)]
    return Piece(torch.from_numpy(np.stack(padded).astype(np.int64))[None], tonic[None])


def save_songs(songs: Sequence[Song], names: Sequence[str], out: str) -> list[str]:
    """Write each song as OUT/NAME.mid; the paths."""
    Path(out).mkdir(parents=True, exist_ok=True)
    paths = [str(Path(out) / f"{name}.mid") for name in names]
    for song, path in zip(songs, paths, strict=True):
        write_midi(song, path)
    return paths


def note_origin(out: str, names: Sequence[str], origin: Mapping[str, Any]) -> None:
    """Say in OUT/pieces.json what made each piece; pieces that other commands wrote there
    are kept."""
    path = Path(out) / "pieces.json"
    told = json.loads(path.read_text()) if path.exists() else {}
    told |= {f"{name}.mid": dict(origin) for name in names}
    path.write_text(json.dumps(dict(sorted(told.items())), indent=2) + "\n")


def emotion_name(classes: Mapping[str, int | None]) -> str:
    """The quadrant's name, or the one class that is given."""
    arousal, valence = classes["arousal"], classes["valence"]
    if arousal is not None and valence is not None:
        return QUADRANTS[arousal, valence]
    given = [
        f"{letter}{level}"
        for letter, level in (("A", arousal), ("V", valence))
        if level is not None
    ]
    return given[0] if given else "any"
