"""What the campaigns share: real commands in processes of their own, and a small release."""

import hashlib
import os
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
