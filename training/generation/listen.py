"""listen: index.html beside written pieces, which shows and plays every MIDI file of its
folder; one file, no network."""

import html
from pathlib import Path

import numpy as np

from schemas import player
from schemas.grid import quantise
from schemas.keys import KEY_NAMES
from schemas.krumhansl import krumhansl_schmuckler
from schemas.rhythm import count_rhythm
from schemas.song import DRUMS, TRACKS, Song, seconds_at
from training.data.midi import read_midi
from training.errors import RunFailed

PAGE = "index.html"
WIDTH, TRACK_HEIGHT, NAME_WIDTH, DENSITY_HEIGHT = 640, 56, 56, 34
COLOURS = ("#9aa5b1", "#4f7cac", "#dcae5b", "#cf7765", "#5aa69a")
CSS = """\
body { margin: 0 auto; padding: 0 16px 40px; max-width: 1400px; background: #f6f8fa; color: #2b3440;
  font: 16px/1.5 system-ui, -apple-system, "Segoe UI", Roboto, sans-serif; }
main { display: grid; gap: 16px; grid-template-columns: repeat(auto-fill, minmax(min(100%, 560px), 1fr)); }
figure { margin: 0; padding: 14px; background: #fff; border: 1px solid #e3e7ec; border-radius: 10px; min-width: 0; }
h2 { margin: 0 0 6px; font-size: 16px; overflow-wrap: anywhere; }
figcaption { margin-top: 6px; color: #5c6773; font-size: 14.5px; }
svg { display: block; width: 100%; height: auto; }
svg text { font-size: 11px; fill: #5c6773; }
"""


def write_page(folder: str) -> str:
    """Write `folder`/index.html with every .mid of the folder, by name; gives its path. Files
    that cannot be read are left out."""
    figures = []
    for path in sorted(Path(folder).glob("*.mid")):
        try:
            figures.append(_figure(path.stem, read_midi(str(path))))
        except RunFailed:
            continue
    title = f"{len(figures)} {'piece' if len(figures) == 1 else 'pieces'}"
    page = Path(folder, PAGE)
    page.write_text(
        '<!doctype html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n'
        '<meta name="viewport" content="width=device-width, initial-scale=1">\n'
        f"<title>{title}</title>\n<style>\n{CSS}{player.CSS}</style>\n</head>\n<body>\n"
        f"<h1>{title}</h1>\n<main>\n{''.join(figures)}</main>\n"
        f"<script>\n{player.SCRIPT}</script>\n</body>\n</html>\n"
    )
    return str(page)


def _figure(name: str, song: Song) -> str:
    return (
        f"<figure>\n<h2>{html.escape(name)}</h2>\n{player.controls(name, song)}\n"
        f"{roll(song)}\n<figcaption>{html.escape(described(song))}</figcaption>\n</figure>\n"
    )


def described(song: Song) -> str:
    """A piece in a sentence: its key over all pitched notes, tempo, density, length."""
    pitched = song.notes[song.notes["track"] != DRUMS]
    sounding = np.bincount(pitched["pitch"] % 12, pitched["duration"], 12)
    key = int(krumhansl_schmuckler(sounding[None])[0][0])
    end = int(song.bars["start"][-1] + song.bars["length"][-1])
    seconds = float(seconds_at(song.tempi, np.array([end]))[0])
    per_bar = len(song.notes) / len(song.bars)
    return (
        f"{KEY_NAMES[key]}, {end / 24 * 60 / seconds:.0f} quarters a minute, {per_bar:.1f} notes a bar, "
        f"{len(song.bars)} bars of {seconds:.0f} seconds"
    )


def roll(song: Song) -> str:
    """A song as SVG: a strip for each track that plays, over the notes that start in each
    sixteenth. Bars are as wide as each other, as the cursor runs."""
    used = [track for track in range(len(TRACKS)) if (song.notes["track"] == track).any()]
    height = TRACK_HEIGHT * len(used) + DENSITY_HEIGHT
    edges = np.append(song.bars["start"], song.bars["start"][-1] + song.bars["length"][-1])
    places = np.linspace(NAME_WIDTH, WIDTH, len(edges))
    parts = [
        f'<rect id="frame" x="{NAME_WIDTH}" y="0" width="{WIDTH - NAME_WIDTH}" height="{height}" fill="none"/>'
    ]
    parts += [
        f'<line x1="{x:.1f}" x2="{x:.1f}" y1="0" y2="{height}" stroke="#e3e7ec"/>'
        for x in places
    ]
    for row, track in enumerate(used):
        parts += _strip(song, track, row * TRACK_HEIGHT, edges, places)
    parts.append(_density(song, height, places))
    says = html.escape(", ".join(TRACKS[track] for track in used), quote=True)
    return (
        f'<svg viewBox="0 0 {WIDTH} {height}" role="img" aria-label="Piano roll of {says}">'
        f"{''.join(parts)}</svg>"
    )


def _strip(
    song: Song, track: int, top: int, edges: np.ndarray, places: np.ndarray
) -> list[str]:
    """The name of a track and its notes, low pitches at the foot of its strip."""
    notes = song.notes[song.notes["track"] == track]
    pitch = notes["pitch"].astype(float)
    share = (pitch - pitch.min() + 1) / (np.ptp(pitch) + 2)
    height = top + TRACK_HEIGHT * (1 - share)
    begin = np.interp(notes["start"], edges, places)
    end = np.interp(notes["start"] + notes["duration"], edges, places)
    lines = "".join(
        f"M{x:.1f} {y:.1f}H{max(until, x + 1.5):.1f}"
        for x, y, until in zip(begin.tolist(), height.tolist(), end.tolist(), strict=True)
    )
    return [
        f'<text x="0" y="{top + TRACK_HEIGHT // 2 + 4}">{TRACKS[track]}</text>',
        f'<path d="{lines}" stroke="{COLOURS[track]}" stroke-width="2" fill="none"/>',
    ]


def _density(song: Song, foot: int, places: np.ndarray) -> str:
    """Bars of how many notes start in each sixteenth."""
    counts = count_rhythm(quantise(song)).onsets
    positions = counts.shape[1]
    width = (places[1] - places[0]) / positions
    scale = (DENSITY_HEIGHT - 6) / max(int(counts.max()), 1)
    bars = "".join(
        f"M{places[bar] + (position + 0.5) * width:.1f} {foot}v{-counts[bar, position] * scale:.1f}"
        for bar, position in zip(*np.nonzero(counts), strict=True)
    )
    return f'<path d="{bars}" stroke="#66717e" stroke-width="{max(width * 0.8, 0.5):.2f}" fill="none"/>'
