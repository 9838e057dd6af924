"""symusic against miditoolkit and mido on folders of MIDI: files read, what is equal, and songs a second.

    python tests/bench/midi_readers.py DATA/lmd_full DATA/emopia DATA/vgmidi DATA/beatles_keys

Notes by mido are those of pretty_midi's rule (a note-off ends every note of its pitch that sounds), in the file's own ticks.
"""

import io
import sys
import time
from collections import Counter, defaultdict
from pathlib import Path

import mido
import numpy as np

from pipelines.formats.midi import MidiFile, midi_tempi, read_midi
from pipelines.formats.midi_readers import by_miditoolkit, by_symusic
from schemas.contracts import Limits
from schemas.reject import BadInput

LIMITS = Limits()


def raw_notes(raw, with_program=True):
    found = Counter()
    for track in raw.tracks:
        columns = (track.start, track.end, track.pitch, track.velocity)
        kind = (track.program * with_program, bool(track.is_drum))
        found.update(kind + row for row in zip(*(c.tolist() for c in columns), strict=True))
    return found


def read_notes(midi: MidiFile, scale: int) -> Counter:
    """(start, pitch, velocity, is_drum) of a reading, in ticks of 1/24 quarter."""
    found = Counter()
    for track in midi.tracks:
        rows = zip(
            track.start.tolist(), track.pitch.tolist(), track.velocity.tolist(), strict=True
        )
        found.update((*row, bool(track.is_drum)) for row in rows)
    return found


def pretty_notes(blob: bytes) -> Counter:
    """The same by mido and pretty_midi's rule."""
    midi = mido.MidiFile(file=io.BytesIO(blob))
    found = Counter()
    for track in midi.tracks:
        now, sounding = 0, defaultdict(list)
        for event in track:
            now += event.time
            if event.type == "note_on" and event.velocity:
                sounding[event.channel, event.note].append((now, event.velocity))
            elif event.type in ("note_off", "note_on"):
                key = (event.channel, event.note)
                ended = [one for one in sounding[key] if one[0] != now]
                sounding[key] = (
                    [one for one in sounding[key] if one[0] == now] if ended else []
                )
                for start, velocity in ended:
                    tick = (48 * start + midi.ticks_per_beat) // (2 * midi.ticks_per_beat)
                    found[tick, event.note, velocity, event.channel == 9] += 1
    return found


def timed(seconds: dict, name: str, function, *arguments):
    begin = time.process_time()
    try:
        return function(*arguments)
    except BadInput as bad:
        return bad
    finally:
        seconds[name] += time.process_time() - begin


def corpus(root: Path) -> None:
    paths = sorted(
        path for path in root.rglob("*") if path.suffix.lower() in (".mid", ".midi")
    )
    seconds, counts, rejects, notes = (
        defaultdict(float),
        Counter(),
        defaultdict(Counter),
        Counter(),
    )
    for path in paths:
        blob = path.read_bytes()
        one = timed(seconds, "symusic", read_midi, blob, LIMITS, "symusic")
        other = timed(seconds, "miditoolkit", read_midi, blob, LIMITS, "miditoolkit")
        for name, midi in (("symusic", one), ("miditoolkit", other)):
            if isinstance(midi, BadInput):
                rejects[name][midi.reason] += 1
        if isinstance(one, BadInput) or isinstance(other, BadInput):
            counts["one alone"] += isinstance(one, BadInput) != isinstance(other, BadInput)
            continue
        counts["read by both"] += 1
        left, right = by_symusic(blob), by_miditoolkit(blob)
        counts["notes equal"] += raw_notes(left, False) == raw_notes(right, False)
        counts["programs equal"] += raw_notes(left) == raw_notes(right)
        notes["notes"] += raw_notes(left).total()
        notes["of another program"] += (raw_notes(left) - raw_notes(right)).total()
        counts["meters equal"] += one.time_signatures == other.time_signatures
        counts["keys equal"] += one.keys == other.keys
        tempi, others = midi_tempi(one), midi_tempi(other)
        same = len(tempi) == len(others) and np.array_equal(tempi["start"], others["start"])
        counts["tempi equal"] += same and np.allclose(
            tempi["bpm"], others["bpm"], rtol=1e-6
        )
        pretty = pretty_notes(blob)
        ours = read_notes(one, 24)
        counts["pretty_midi's onsets equal"] += ours == pretty
        notes["pretty_midi lacks"] += (ours - pretty).total()
        notes["pretty_midi has more"] += (pretty - ours).total()
    print(f"\n{root.name}: {len(paths)} files; {dict(counts)}")
    print(
        f"  rejects { ({name: dict(found) for name, found in rejects.items()}) }; {dict(notes)}"
    )
    for name, spent in seconds.items():
        print(f"  {name}: {len(paths) / spent:.1f} songs a second")


if __name__ == "__main__":
    for folder in sys.argv[1:]:
        corpus(Path(folder))
