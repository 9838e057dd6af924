"""The ABC reader against abc2midi (Debian: abcmidi), by hand:

    python tests/bench/abc_agreement.py FOLDER-OF-ABC-FILES [--list]

For each tune: how many melody notes sound and when the last one ends, by us and by abc2midi (chord
symbols off, grace notes taken out). Prints how many agree in both, in one, in none, and with --list
each that does not, with what abc2midi warns of.
"""

import argparse
import re
import subprocess
import tempfile
from collections import Counter
from pathlib import Path

from pipelines.formats.abc import read_tune
from pipelines.formats.abc_header import split_tunes
from pipelines.formats.midi import read_midi
from schemas.contracts import Limits
from schemas.reject import BadInput
from schemas.song import PIANO


def ours(text: str) -> tuple[int, int]:
    """(notes, end in ticks) of the melody."""
    notes = read_tune(text, Limits()).notes
    melody = notes[notes["track"] == PIANO]
    return len(melody), int((melody["start"] + melody["duration"]).max())


def theirs(text: str, folder: Path) -> tuple[int, int, str]:
    """(notes, end in ticks, what is warned of) by abc2midi."""
    # Jukedeck spells the order of parts Y:
    text = re.sub(r"^Y:", "P:", text, flags=re.MULTILINE)
    # It plays grace notes and ornaments out, which we leave to the player
    text = re.sub(r"\{[^}\n]*\}|!trill!|~|T(?=[\^_=\[]*[A-Ga-g])(?!:)", "", text)
    text = re.sub(r"^(X:.*)$", r"\1\n%%MIDI gchordoff", text, count=1, flags=re.MULTILINE)
    abc = folder / "tune.abc"
    midi = folder / "tune.mid"
    midi.unlink(missing_ok=True)
    abc.write_text(text)
    done = subprocess.run(
        ["abc2midi", str(abc), "-o", str(midi)], capture_output=True, text=True, check=False
    )
    warnings = re.findall(r"(?:Error|Warning) in line.*?: (.*)", done.stdout)
    said = "; ".join(sorted(set(warnings)))[:200]
    if not midi.exists():
        return 0, 0, said
    read = read_midi(midi.read_bytes(), Limits())
    return sum(len(track.start) for track in read.tracks), read.end, said


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folder", type=Path)
    parser.add_argument(
        "--list", action="store_true", help="print each tune that disagrees"
    )
    args = parser.parse_args()
    counts: Counter[str] = Counter()
    with tempfile.TemporaryDirectory() as name:
        for path in sorted(args.folder.rglob("*.abc")):
            for text in split_tunes(path.read_bytes()):
                label = f"{path.stem} {text.splitlines()[0]}"
                n_notes, end, said = theirs(text, Path(name))
                try:
                    our_notes, our_end = ours(text)
                except BadInput as error:
                    counts["refused by us"] += 1
                    print(label, error)
                    continue
                # abc2midi may end a note a tick early
                same_end = abs(our_end - end) <= 2
                same_notes = our_notes == n_notes
                kind = {
                    (True, True): "both agree",
                    (True, False): "notes alone",
                    (False, True): "end alone",
                    (False, False): "neither",
                }[same_notes, same_end]
                counts[kind] += 1
                if args.list and kind != "both agree":
                    print(
                        f"{label}: {our_notes}/{n_notes} notes, {our_end}/{end} ticks; {said}"
                    )
    print(dict(counts))


if __name__ == "__main__":
    main()
