"""What the campaigns share: real commands in processes of their own, and a small release."""

import hashlib
import os
import random
import re
import shutil
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]


def environment() -> dict[str, str]:
    """The surroundings of a command: this checkout, one thread a process."""
    return {**os.environ, "PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"}


def data_command(*arguments: str) -> list[str]:
    """moodroll-data of this checkout."""
    return [sys.executable, "-m", "pipelines.cli", *arguments]


def model_command(*arguments: str) -> list[str]:
    """moodroll-model of this checkout."""
    return [sys.executable, "-m", "training.cli", *arguments]


def run_build(out: Path, data: Path) -> None:
    """A release of Nottingham's tunes, once."""
    if (out / "release" / "report.html").exists():
        return
    out.parent.mkdir(parents=True, exist_ok=True)
    build = out.with_suffix(".toml")
    build.write_text(
        f'name = "t"\nshards = 8\n[sources.nottingham]\nroot = "{data}/nottingham"\n'
        "[filters.nottingham]\nmin_bars = 8\n"
    )
    command = data_command("build", str(build), "--out", str(out))
    subprocess.run(command, env=environment(), check=True, stdout=subprocess.DEVNULL)


def family(pid: int) -> list[int]:
    """A process and all that it and its children have started."""
    parents: dict[int, list[int]] = {}
    for folder in Path("/proc").iterdir():
        if folder.name.isdigit():
            try:
                stat = (folder / "stat").read_text()
            except OSError:
                continue
            parent = int(stat.rpartition(")")[2].split()[1])
            parents.setdefault(parent, []).append(int(folder.name))
    found, waiting = [], [pid]
    while waiting:
        found.append(one := waiting.pop())
        waiting += parents.get(one, [])
    return found


def hashes(folder: Path) -> dict[str, str]:
    """sha256 of every file below a folder, but for caches and logs of the clock."""
    return {
        str(path.relative_to(folder)): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in sorted(folder.rglob("*"))
        if path.is_file()
    }


SIZES = (1, 1, 2, 4, 16, 64, 512)
# Numbers and signs at which readers stumble
ODD = (
    b"0", b"-1", b"999999999999", b"1e999", b"nan", b"inf", b"null", b"[]", b"{}", b'""', b"\x00", b"\xff\xfe",
    b"[" * 3000, b"9" * 5000, b"\n", b"\t", b",", b'"', b"'", b"=", b"|:", b":|", b"(", b"[", b"]", b"{", b"}", b"&&", b"%", b"/0",
    b"A" * 2000, "ü\u2028\U0001f3b5".encode(),
)  # fmt: skip


def spoil(blob: bytes, chance: random.Random) -> bytes:
    """One to three blocks dropped, doubled, moved, filled, or bits flipped; or the end cut off."""
    for _ in range(chance.choice((1, 1, 2, 3))):
        size = min(chance.choice(SIZES), len(blob))
        at = chance.randrange(max(1, len(blob) - size + 1))
        block, how = blob[at : at + size], chance.randrange(8)
        if how == 0:
            blob = blob[:at] + blob[at + size :]
        elif how == 1:
            blob = blob[:at] + block + blob[at:]
        elif how == 2:
            blob = blob[:at] + chance.randbytes(size) + blob[at + size :]
        elif how == 3:
            blob = blob[:at]
        elif how == 4:
            blob = (
                blob[:at]
                + bytes([chance.choice((0, 1, 127, 128, 255))]) * size
                + blob[at + size :]
            )
        elif how == 5:
            to = chance.randrange(len(blob) + 1)
            blob = blob[:to] + block + blob[to:]
        elif block:
            flipped = bytearray(blob)
            flipped[at] ^= 1 << chance.randrange(8)
            blob = bytes(flipped)
    return blob


def spoil_text(blob: bytes, chance: random.Random) -> bytes:
    """As spoil, or a word or number replaced by an odd one, or a line dropped, doubled or moved."""
    how = chance.randrange(4)
    if how == 0:
        return spoil(blob, chance)
    if how == 1:
        lines = blob.split(b"\n")
        at, to = chance.randrange(len(lines)), chance.randrange(len(lines))
        line = lines.pop(at) if chance.random() < 0.7 else lines[at]
        if chance.random() < 0.6:
            lines.insert(to, line)
        return b"\n".join(lines)
    words = list(re.finditer(rb"-?\d+(?:\.\d+)?|\w+|[^\w\s]", blob))
    if not words:
        return chance.choice(ODD)
    for word in sorted(
        chance.sample(words, min(len(words), chance.choice((1, 1, 2)))),
        key=lambda one: -one.start(),
    ):
        new = chance.choice(ODD) if how == 2 else chance.choice(words)[0]
        blob = blob[: word.start()] + new + blob[word.end() :]
    return blob


def small_release(work: Path) -> Path:
    """A release of 24 made-up songs."""
    from pipelines.cli import main
    from pipelines.formats.npz_write import write_npz
    from schemas import mock

    release = work / "small" / "release"
    if not (release / "report.html").exists():
        for song in mock.songs(24, n_bars=8):
            path = work / "songs" / f"{song.source_key}.npz"
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(write_npz(song.notes, song.tempi, 8 * 96, song.source_key))
        build = work / "small.toml"
        build.write_text(
            f'name = "t"\nshards = 2\n[sources.lpd5]\nroot = "{work}/songs"\n'
            "[splits]\ntrain = 0.6\nvalidation = 0.2\ntest = 0.2\n"
        )
        in_process = ["--", "--runner=FnApiRunner"]
        assert main(["build", str(build), "--out", str(work / "small"), *in_process]) == 0
        shutil.copytree(release, work / "spoilt")
    return release


def small_run(work: Path) -> tuple[Path, Path]:
    """The small release, a run of one step on it, and its token cache in work/cache."""
    from training.cli import main
    from training.config import ViewConfig
    from training.data.cache import prepare
    from training.data.release import open_release

    release, run = small_release(work), work / "small-run"
    if not (run / "last.safetensors").exists():
        toml = str(ROOT / "manifests" / "runs" / "tiny.toml")
        settings = [
            "train.steps=1", "train.batch=2", "data.supervision=0", "data.bars=4", "train.validation_batches=1",
            "model.width=16", "model.heads=2", "model.layers=1", "model.feed_forward=32", "model.latent=4",
        ]  # fmt: skip
        command = ["train", toml, "--data", str(release), "--out", str(run)]
        command += [part for one in settings for part in ("--set", one)]
        assert main(command) == 0
    prepare(open_release(str(release)), ViewConfig(), str(work / "cache"))
    return release, run
