"""vocabulary.json, and the card's code: both read by a Python that has a release and not this
package."""

import json
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq
import pytest

from pipelines.report.vocabulary import vocabulary
from schemas.remi import decode, token_names
from schemas.row import from_row
from schemas.song import TRACKS

PROGRAM = """
import sys, types
release, row_path = sys.argv[1:]
import pyarrow.parquet as pq
songs = pq.read_table(row_path).slice(int({row}), 1).to_pylist()
{code}
import json
from collections import Counter
ours = [name for name in sys.modules if name.split(".")[0] in ("pipelines", "schemas", "training")]
assert not ours, ours
print(json.dumps({result}))
"""


def test_groups_cover_every_token_and_say_its_name() -> None:
    file = vocabulary()
    said: dict[int, str] = {0: "PAD", 1: "EOS", 2: "Bar"}
    for group in file["groups"][2:]:
        for index in range(group["n"]):
            value = group["lowest"] + group["step"] * index
            words = [
                group["kind"],
                *([group["track"]] if "track" in group else []),
                str(value),
            ]
            assert group["first_id"] + index not in said
            said[group["first_id"] + index] = "_".join(words)
    assert [said[token] for token in range(file["size"])] == token_names() == file["names"]


def code_of(release: Path, starts: str) -> str:
    """One of the card's pieces of code, pointed at this release."""
    blocks = re.findall(
        r"```python\n(.*?)```", (release / "README.md").read_text(), re.DOTALL
    )
    (code,) = [block for block in blocks if block.startswith(starts)]
    return code.replace("path/of/this/folder", str(release))


def run(release: Path, folder: Path, code: str, result: str, row: int) -> Any:
    shard = next(
        path
        for path in sorted((release / "data").iterdir())
        if pq.read_metadata(path).num_rows > row
    )
    program = PROGRAM.format(code=code, result=result, row=row)
    done = subprocess.run(
        [sys.executable, "-c", program, str(release), str(shard)],
        cwd=folder, capture_output=True, text=True,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout), pq.read_table(shard).slice(row, 1).to_pylist()[0]


@pytest.mark.parametrize("row", [0, 1])
def test_the_card_s_code_decodes_the_tokens(
    labelled: Path, tmp_path: Path, row: int
) -> None:
    release = labelled / "release"
    notes, song = run(release, tmp_path, code_of(release, "import json"), "notes", row)
    lost = song["dropped_pitches"] + song["dropped_positions"]
    assert len(notes) == song["n_notes"] - lost
    ours = decode(np.array(song["remi"]), from_row(song).bars).notes
    columns = [
        ours[name].tolist() for name in ("start", "track", "pitch", "velocity", "duration")
    ]
    names = [TRACKS[track] for track in columns[1]]
    wanted = zip(columns[0], names, *columns[2:], strict=True)
    assert sorted(map(tuple, notes)) == sorted(wanted)


def test_the_card_s_code_writes_a_midi_file(labelled: Path, tmp_path: Path) -> None:
    import pretty_midi

    release = labelled / "release"
    result = (
        "sum(len(part.notes) for part in pretty_midi.PrettyMIDI('song.mid').instruments)"
    )
    n_notes, song = run(release, tmp_path, code_of(release, "import numpy"), result, 0)
    assert n_notes == song["n_notes"]
    midi = pretty_midi.PrettyMIDI(str(tmp_path / "song.mid"))
    pitches = sorted(note.pitch for part in midi.instruments for note in part.notes)
    assert pitches == sorted(song["note_pitch"])
    end = max(note.end for part in midi.instruments for note in part.notes)
    assert end == pytest.approx(song["seconds"], abs=0.02)
