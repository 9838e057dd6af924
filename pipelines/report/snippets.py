"""Snippets: what the card shows of reading a release with other people's packages alone. A
test runs each of them by a Python that lacks this one."""

LOAD = """\
from datasets import load_dataset

songs = load_dataset("path/of/this/folder", split="train")  # or streaming=True
"""

TO_MIDI = '''\
import numpy as np, pretty_midi

def to_midi(row):
    """A row as a pretty_midi.PrettyMIDI: five tracks, every note at its own time."""
    ticks, bpm = np.array(row["tempo_start"]), np.array(row["tempo_bpm"])
    begins = np.append(0, np.cumsum(np.diff(ticks) / 24 * 60 / bpm[:-1]))  # seconds
    def seconds(tick):
        last = np.searchsorted(ticks, tick, side="right") - 1
        return begins[last] + (tick - ticks[last]) / 24 * 60 / bpm[last]
    midi = pretty_midi.PrettyMIDI()
    for number, (name, program) in enumerate({"Drums": 0, "Piano": 0, "Guitar": 24, "Bass": 32, "Strings": 48}.items()):
        midi.instruments.append(pretty_midi.Instrument(program, is_drum=number == 0, name=name))
    columns = [row[f"note_{name}"] for name in ("start", "duration", "pitch", "velocity", "track")]
    for start, duration, pitch, velocity, track in zip(*columns):
        note = pretty_midi.Note(int(velocity), int(pitch), seconds(start), seconds(start + duration))
        midi.instruments[track].notes.append(note)
    return midi

to_midi(songs[0]).write("song.mid")
'''

DECODE = """\
import json

names = json.load(open("path/of/this/folder/vocabulary.json"))["names"]
bar, said, notes = -1, {}, []  # a note: tick, track, MIDI pitch, velocity, ticks
for token in songs[0]["remi"]:
    kind, *rest = names[token].split("_")
    bar += kind == "Bar"
    said[kind] = rest
    if kind == "Duration":
        tick = songs[0]["bar_start"][bar] + 6 * int(said["Beat"][0])
        notes.append((tick, rest[0], int(said["Pitch"][1]), int(said["Velocity"][1]), 6 * int(rest[1])))
"""
