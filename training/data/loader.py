"""Data: a release's split to batches. A batch is a pure function of its number, so that a
run that resumes, and every rank, worker and thread, reads exactly what it should.
"""

from collections import deque
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import numpy as np

from schemas.remi import BAR_TOKEN, EOS, PAD
from training.config import UNLABELLED, DataConfig
from training.data.cache import Split
from training.data.keys import KeyTable
from training.errors import RunFailed

LABELLED_AT_ONCE = 16


@dataclass(frozen=True, eq=False)
class Batch:
    """B crops of T bars: tokens, target int16 (B, T, L), PAD where there is none; rhythm
    uint8 (B, T, 16); key, tonic uint8 (B, T); label int64 (B, 2), -1 where none is used;
    song, start: which bars these are."""

    tokens: np.ndarray
    target: np.ndarray
    rhythm: np.ndarray
    key: np.ndarray
    tonic: np.ndarray
    label: np.ndarray
    song: np.ndarray
    start: np.ndarray


def crops(
    split: Split,
    song: np.ndarray,
    start: np.ndarray,
    bars: int,
    length: int,
    label: np.ndarray,
) -> Batch:
    """Crops of `bars` bars from bar `start` of each song; a bar's last target is the
    next Bar, or EOS after the song's last, unless the song is cut out of a longer one."""
    bar = (split.first_bar[song] + start)[:, None] + np.arange(bars)
    first = split.bar_offset[bar][..., None]
    n_tokens = split.bar_offset[bar + 1][..., None] - first
    place = np.arange(length + 1)
    here = np.where(
        place < n_tokens,
        split.tokens[np.minimum(first + place, len(split.tokens) - 1)],
        PAD,
    ).astype(np.int16)
    tokens, target = here[..., :-1], here[..., 1:].copy()
    is_end = bar == (split.first_bar + split.n_bars - 1)[song][:, None]
    is_end &= ~split.is_cut[song][:, None]
    np.put_along_axis(
        target,
        n_tokens - 1,
        np.where(is_end, EOS, BAR_TOKEN)[..., None].astype(np.int16),
        axis=2,
    )
    return Batch(
        tokens,
        target,
        split.rhythm[bar],
        split.key[bar],
        split.tonic[bar],
        label,
        song,
        start,
    )


def used_labels(split: Split, usable: np.ndarray, supervision: float) -> np.ndarray:
    """Labels (n_songs, 2) with -1 wherever the supervision rate withholds them: the lowest
    label_rank are used first."""
    labels = np.where(usable[:, None], split.labels, UNLABELLED)
    if supervision < 1:
        labelled = np.flatnonzero((labels != UNLABELLED).any(axis=1))
        by_rank = labelled[np.argsort(split.label_rank[labelled], kind="stable")]
        labels[by_rank[round(supervision * usable.sum()) :]] = UNLABELLED
    return labels


class Loader:
    """Endless batches of one split; `step` is the next one's number and the loader's whole
    state.

    Every epoch takes each usable song once, in an order and at a random bar that (seed,
    epoch) alone decide; an epoch runs on into the next without a short batch. Rank r of
    `ranks` takes every ranks-th crop of each batch. Songs shorter than a crop, and (of the
    training split) songs that are another's by data.songs, are left out: `left_out` counts
    them.
    """

    def __init__(
        self,
        split: Split,
        config: DataConfig,
        batch: int,
        seed: int,
        rank: int = 0,
        ranks: int = 1,
        held_out: bool = False,
    ) -> None:
        if batch % ranks:
            raise RunFailed(f"train.batch = {batch} does not divide among {ranks} ranks")
        self.split, self.config, self.seed, self.rank, self.ranks, self.step = (
            split,
            config,
            seed,
            rank,
            ranks,
            0,
        )
        usable = self._usable(held_out)
        self.labels = used_labels(split, usable, config.supervision)
        has_label = (self.labels != UNLABELLED).any(axis=1)
        self.n_songs, self.n_labelled = int(usable.sum()), int(has_label.sum())
        if config.supervision > 0 and not self.n_labelled:
            raise RunFailed(
                f"no song of the split has a label within data.supervision = {config.supervision}: "
                "give a labelled release, raise it, or set it to 0 to train without"
            )
        self.groups = self._mixed(usable, has_label, batch)
        self._order = lru_cache(maxsize=8)(self._shuffle)

    def _usable(self, held_out: bool) -> np.ndarray:
        """Which songs may be cropped, bool (n_songs): of a split that is held out from all,
        every one."""
        split, bars, for_judges = (
            self.split,
            self.config.bars,
            self.config.songs == "judges",
        )
        long_enough = split.n_bars >= bars
        usable = long_enough & (held_out | (split.judge == for_judges))
        others = "for_generators" if for_judges else "for_judges"
        self.left_out = {
            "too_short": int((~long_enough).sum()),
            others: int((long_enough & ~usable).sum()),
        }
        if not long_enough.any():
            longest = split.n_bars.max(initial=0)
            raise RunFailed(
                f"no song has data.bars = {bars} bars (the longest has {longest}): lower data.bars"
            )
        if not usable.any():
            raise RunFailed(
                f"no song that is long enough is for {self.config.songs}: build with another share for judges"
            )
        return usable

    def _mixed(
        self, usable: np.ndarray, has_label: np.ndarray, batch: int
    ) -> list[tuple[np.ndarray, int]]:
        """Groups of songs and how many of a batch each gives."""
        share = self.config.labelled_share
        if share < 0:
            return [(np.flatnonzero(usable), batch)]
        n = round(share * batch)
        groups = [
            (np.flatnonzero(usable & has_label), n),
            (np.flatnonzero(usable & ~has_label), batch - n),
        ]
        if any(count and not len(songs) for songs, count in groups):
            raise RunFailed(
                f"data.labelled_share = {share} needs both labelled and unlabelled songs in the split"
            )
        return [(songs, count) for songs, count in groups if count]

    def _shuffle(self, group: int, epoch: int) -> tuple[np.ndarray, np.ndarray]:
        random = np.random.default_rng([self.seed, group, epoch])
        songs = random.permutation(self.groups[group][0])
        room = self.split.n_bars[songs] - self.config.bars + 1
        return songs, np.floor(random.random(len(songs)) * room).astype(np.int64)

    def batch_at(self, step: int) -> Batch:
        """This rank's part of batch number `step`."""
        chosen: list[tuple[int, int]] = []
        for group, (songs, count) in enumerate(self.groups):
            for place in range(step * count, (step + 1) * count):
                order, starts = self._order(group, place // len(songs))
                chosen.append(
                    (int(order[place % len(songs)]), int(starts[place % len(songs)]))
                )
        song, start = np.array(chosen[self.rank :: self.ranks], np.int64).T
        return crops(
            self.split,
            song,
            start,
            self.config.bars,
            self.config.tokens_per_bar,
            self.labels[song],
        )

    def __iter__(self) -> Iterator[Batch]:
        """Batches from `step` on, made ahead by threads; `step` moves on as each is
        taken."""
        threads = max(1, self.config.threads)
        with ThreadPoolExecutor(threads) as pool:
            ahead = deque(
                pool.submit(self.batch_at, self.step + later)
                for later in range(threads + 1)
            )
            while True:
                batch = ahead.popleft().result()
                self.step += 1
                ahead.append(pool.submit(self.batch_at, self.step + threads))
                yield batch

    def labelled(self, most: int) -> list[Batch]:
        """A crop each of at most `most` of its labelled songs, drawn with the seed, alike on
        every rank."""
        has_label = (self.labels != UNLABELLED).any(axis=1)
        random = np.random.default_rng([self.seed, most])
        songs = np.concatenate([songs for songs, _ in self.groups])
        chosen = random.permutation(np.sort(songs[has_label[songs]]))[:most]
        room = self.split.n_bars[chosen] - self.config.bars + 1
        start = np.floor(random.random(len(chosen)) * room).astype(np.int64)
        length = self.config.tokens_per_bar
        return [
            crops(
                self.split,
                chosen[at : at + LABELLED_AT_ONCE],
                start[at : at + LABELLED_AT_ONCE],
                self.config.bars,
                length,
                self.labels[chosen[at : at + LABELLED_AT_ONCE]],
            )
            for at in range(0, len(chosen), LABELLED_AT_ONCE)
        ]

    def keys(self) -> dict[str, list[int]] | None:
        """How many of its songs are written relative to each tonic, by quadrant; None where
        pitch is absolute. See keys.KeyTable."""
        if self.config.pitch == "absolute":
            return None
        songs = np.sort(np.concatenate([songs for songs, _ in self.groups]))
        tonic = self.split.tonic[self.split.first_bar[songs]]
        return dict(KeyTable.of(tonic, self.labels[songs]).counts)

    def state_dict(self) -> dict[str, int]:
        """Where the loader stands."""
        return {"step": self.step, "seed": self.seed}

    def load_state_dict(self, state: dict[str, int]) -> None:
        """Go to where state_dict was taken; RunFailed for another seed, whose batches are
        others."""
        if state["seed"] != self.seed:
            raise RunFailed(
                f"the checkpoint's data has the order of seed {state['seed']}, not {self.seed}: keep train.seed"
            )
        self.step = state["step"]

    def describe(self) -> dict[str, Any]:
        """What a run's log says of its data, with the share of bars that did not fit and of
        notes cut for it."""
        counts = self.split.counts
        shares = {
            "bars_over_share": counts["bars_over"] / max(counts["bars"], 1),
            "notes_cut_share": counts["notes_cut"] / max(counts["notes"], 1),
        }
        return {
            **counts,
            **shares,
            "songs_used": self.n_songs,
            "songs_labelled": self.n_labelled,
            **self.left_out,
        }
