"""The corpus that comes with music21: which of its pieces are tunes and scores, what they
are called, how fast they go.

Titles and composers of scores are taken from file and folder names: those inside the files
are partly scanning noise. Many pieces have no tempo; each then gets one within the usual
range of its genre, picked by hash, the same every time.
"""

import hashlib
import re
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass
from itertools import chain, zip_longest
from pathlib import Path

from music21 import common

from pipelines.formats.abc_header import AbcHeader, read_header, split_tunes
from schemas.reject import BadInput


@dataclass(frozen=True)
class Tune:
    """One ABC tune: text is the whole of it; default_bpm: quarters a minute where the
    text gives none, else None."""

    key: str
    text: str
    title: str
    composer: str
    genre: str
    mode: str | None
    default_bpm: float | None


@dataclass(frozen=True)
class Piece:
    """One score: path is below the corpus folder, default_bpm holds where the score
    gives no tempo."""

    path: str
    title: str
    composer: str
    genre: str
    default_bpm: float


@dataclass(frozen=True)
class _Collection:
    """Scores of one genre: patterns below the corpus folder with their composers, the usual
    tempi, how many at most."""

    genre: str
    slowest_bpm: int
    fastest_bpm: int
    most: int
    patterns: tuple[tuple[str, str], ...]


TUNE_FOLDERS = {"airdsAirs": "airds", "oneills1850": "oneills", "ryansMammoth": "ryans"}

_BACH = "Johann Sebastian Bach"
_BEETHOVEN = "Ludwig van Beethoven"
_MOZART = "Wolfgang Amadeus Mozart"
_COLLECTIONS = (
    _Collection("chorale", 60, 100, 160, (("bach/bwv*.*.mxl", _BACH), ("bach/bwv[234]??.*", _BACH))),
    _Collection("quartet", 70, 144, 16, (
        ("beethoven/opus18no1/*.mxl", _BEETHOVEN), ("beethoven/opus18no1/movement[23].krn", _BEETHOVEN),
        ("haydn/*/*.mxl", "Joseph Haydn"),
        ("mozart/k[!5]*/*.mxl", _MOZART), ("schumann_robert/opus41no1/*.mxl", "Robert Schumann"),
    )),
    _Collection("madrigal", 90, 130, 12, (
        ("monteverdi/madrigal.*.mxl", "Claudio Monteverdi"), ("lusitano/*.mxl", "Vicente Lusitano"),
    )),
    _Collection("rag", 90, 110, 10, (("joplin/*.mxl", "Scott Joplin"),)),
    _Collection("piano", 60, 132, 10, (
        ("chopin/*.krn", "Frédéric Chopin"), ("cpebach/*.mxl", "Carl Philipp Emanuel Bach"),
        ("mozart/k545/*.mxl", _MOZART), ("schumann_clara/polonaise*.mxl", "Clara Schumann"), ("bach/bwv846.mxl", _BACH),
    )),
    _Collection("song", 56, 104, 10, (
        ("schubert/*.xml", "Franz Schubert"), ("beach/*.musicxml", "Amy Beach"), ("verdi/*.mxl", "Giuseppe Verdi"),
        ("johnson_j_r/*.mxl", "John Rosamond Johnson"), ("handel/*/*.mxl", "Georg Friedrich Händel"),
        ("liliuokalani/*.mxl", "Liliuokalani"), ("schumann_robert/*2.*ml", "Robert Schumann"),
    )),
    _Collection("sonata", 60, 132, 10, (
        ("corelli/*/*.xml", "Arcangelo Corelli"), ("schumann_clara/*/*.xml", "Clara Schumann"),
    )),
)  # fmt: skip

# Bars a minute at which a dance usually goes; a bar has the same steps whether it is
# written in 2/4 or 4/4.
_BARS_A_MINUTE = {
    "reel": 50, "hornpipe": 38, "slip jig": 40, "jig": 58, "strathspey": 30, "highland fling": 34, "walkaround": 40,
    "clog": 36, "quick step": 56, "march": 28, "waltz": 50, "minuet": 40, "gavotte": 34, "cotillion": 50, "slide": 60,
    "polka": 60, "air": 20, "tune": 32,
}  # fmt: skip
_GENRE = re.compile(
    "|".join(
        rf"\b{name.replace(' ', ' ?')}s?\b" for name in _BARS_A_MINUTE if name != "tune"
    )
)
_KEY = re.compile(r"[A-G][#b]?\s*([A-Za-z]*)")
_UPPER = {"bwv": "BWV"}


def corpus_folder() -> Path:
    """Where the installed music21 keeps its corpus."""
    return Path(common.getCorpusFilePath())


def tunes(seed: int, most: int | None) -> list[Tune]:
    """The tunes of Aird, O'Neill and Ryan, sorted by key; `most` of them, chosen by
    hash."""
    found = [
        tune
        for folder, prefix in TUNE_FOLDERS.items()
        for tune in _tunes_of(corpus_folder() / folder, prefix, seed)
    ]
    return sorted(
        sorted(found, key=lambda tune: _fraction(seed, tune.key))[:most],
        key=lambda tune: tune.key,
    )


def pieces(seed: int, most: int | None) -> list[Piece]:
    """The scores, sorted by path; `most` of them, chosen by hash and from each genre in
    turn."""
    by_genre = [_pieces_of(collection, seed) for collection in _COLLECTIONS]
    in_turn = [
        piece for piece in chain.from_iterable(zip_longest(*by_genre)) if piece is not None
    ]
    return sorted(in_turn[:most], key=lambda piece: piece.path)


def _fraction(seed: int, text: str) -> float:
    """A number in [0, 1) that depends on seed and text alone."""
    return int.from_bytes(hashlib.sha256(f"{seed}:{text}".encode()).digest()[:6], "big") / (
        1 << 48
    )


def _tunes_of(folder: Path, prefix: str, seed: int) -> Iterable[Tune]:
    for path in sorted(folder.glob("*.abc")):
        texts = split_tunes(path.read_bytes())
        for number, text in enumerate(texts, 1):
            key = f"{prefix}-{path.stem}" + (f"-{number:03d}" if len(texts) > 1 else "")
            try:
                yield _tune(key, text, read_header(text), seed)
            except BadInput:
                # Its reader will refuse it; a build shall see that.
                yield Tune(key, text, "", "", "tune", None, None)


def _tune(key: str, text: str, header: AbcHeader, seed: int) -> Tune:
    # Ryan's titles end in " -- REEL" and the like.
    title, _, kind = header.title.partition(" -- ")
    words = [
        text.lower().replace("jigg", "jig") for text in (f"{header.rhythm} {kind}", title)
    ]
    match = _GENRE.search(words[0]) or _GENRE.search(words[1])
    genre = _genre_name(match[0]) if match else "tune"
    numerator, denominator = header.meter or (4, 4)
    bpm = (
        _BARS_A_MINUTE[genre]
        * 4
        * numerator
        / denominator
        * (0.88 + 0.24 * _fraction(seed, key))
    )
    default = None if header.tempo_bpm else float(min(max(round(bpm), 40), 220))
    return Tune(
        key,
        text,
        title,
        header.composer or "Traditional",
        genre,
        mode_of(header.key),
        default,
    )


def _genre_name(found: str) -> str:
    letters = re.sub(r"\W|s$", "", found)
    return next(name for name in _BARS_A_MINUTE if name.replace(" ", "") == letters)


def mode_of(key: str) -> str | None:
    """ "major" or "minor" of an ABC key: the modes with a minor third count as minor;
    None where there is no key."""
    if key.upper().startswith("HP"):
        # The bagpipe's scale is A mixolydian.
        return "major"
    match = _KEY.match(key)
    if match is None:
        return None
    word = match[1].lower()
    return (
        "minor"
        if word.startswith(("min", "dor", "aeo", "phr", "loc")) or word == "m"
        else "major"
    )


def _pieces_of(collection: _Collection, seed: int) -> list[Piece]:
    """The pieces of a collection in the order of their hash."""
    found = {}
    for pattern, composer in collection.patterns:
        for path in corpus_folder().glob(pattern):
            name = path.relative_to(corpus_folder()).as_posix()
            # Movements share a work's tempo range but not its tempo; two encodings of one
            # movement share both.
            share = _fraction(seed, name.rpartition(".")[0])
            bpm = collection.slowest_bpm + round(
                share * (collection.fastest_bpm - collection.slowest_bpm)
            )
            found[name] = Piece(
                name, title_of(name), composer, collection.genre, float(bpm)
            )
    # Pieces in two encodings come first: they are near-duplicates that nobody had to make
    # up.
    encodings = Counter(name.rpartition(".")[0] for name in found)

    def place(piece: Piece) -> tuple[int, float, str]:
        name = piece.path.rpartition(".")[0]
        return -encodings[name], _fraction(seed, name), piece.path

    return sorted(found.values(), key=place)[: collection.most]


def title_of(path: str) -> str:
    """A piece's title from its path: "bach/bwv10.7.mxl" is "BWV 10.7",
    "mozart/k155/movement2.mxl" "K 155, Movement 2"."""
    parts = re.sub(r"(?<=madrigal)\.|_", " ", path.rpartition(".")[0]).split("/")[1:]
    words = [re.findall(r"[a-zA-Z]+|\d[\d.]*(?:-\w+)?", part) for part in parts]
    return ", ".join(
        " ".join(_UPPER.get(word, word.capitalize()) for word in part) for part in words
    )
