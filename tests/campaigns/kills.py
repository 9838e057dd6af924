"""Kill real commands at random moments, again and again, and let them end: the bytes must be those of
a command that nobody disturbed, and no process may be left.

    python tests/campaigns/kills.py --data FOLDER --work EMPTY_FOLDER --seed 1 --number 42

FOLDER holds lpd_5/lpd_5_full and nottingham. A campaign: run by hand, no part of `make test`.
"""

import argparse
import random
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

from wild import ROOT, data_command, environment, family, hashes, model_command

# Of a run, what does not speak of the clock
CHECKPOINTS = ("last.safetensors", "best.safetensors")


def corpus(work: Path, data: Path, most: int) -> Path:
    """A build file over `most` songs of each of the real corpora."""
    for name, pattern, folder in (
        ("lpd", "*.npz", data / "lpd_5" / "lpd_5_full"),
        ("nottingham", "MIDI/*.mid", data / "nottingham"),
    ):
        for path in sorted(folder.rglob(pattern))[:most]:
            to = work / name / path.relative_to(folder)
            to.parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(path, to)
    build = work / "build.toml"
    build.write_text(
        f'name = "t"\nshards = 12\nmax_reject_share = 1.0\n[sources.lpd5]\nroot = "{work}/lpd"\n'
        f'[sources.nottingham]\nroot = "{work}/nottingham"\n[filters.nottingham]\nmin_bars = 8\n'
    )
    return build


def commands(build: Path, out: Path, run: Path, release: Path) -> dict[str, list[str]]:
    """What is killed, in the order in which one stands on the other."""
    toml = str(ROOT / "manifests" / "runs" / "tiny.toml")
    settings = [
        "train.steps=60",
        "train.save_every=5",
        "train.validate_every=20",
        "data.supervision=0",
    ]
    return {
        **{
            name: data_command(name, str(build), "--out", str(out))
            for name in ("ingest", "curate", "publish")
        },
        "report": data_command("report", str(out)),
        "build": data_command("build", str(build), "--out", str(out)),
        "train": model_command(
            "train", toml, "--data", str(release), "--out", str(run), "--cache", f"{run}-cache",
            *[part for one in settings for part in ("--set", one)],
        ),
    }  # fmt: skip


def ended(command: list[str]) -> float:
    """Seconds that a command takes, undisturbed."""
    begun = time.monotonic()
    subprocess.run(command, env=environment(), check=True, capture_output=True)
    return time.monotonic() - begun


def killed(command: list[str], after: float, chance: random.Random) -> tuple[bool, int]:
    """Whether it was still at work when it was killed, and how many processes it left."""
    process = subprocess.Popen(
        command, env=environment(), stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    )
    try:
        process.wait(after)
        return False, 0
    except subprocess.TimeoutExpired:
        pass
    members = family(process.pid)
    process.send_signal(
        chance.choice((signal.SIGKILL, signal.SIGKILL, signal.SIGTERM, signal.SIGINT))
    )
    process.wait()
    time.sleep(3.0)
    left = [pid for pid in members if Path(f"/proc/{pid}").exists() and pid != process.pid]
    return True, len(left)


def main() -> int:
    """The campaign from the command line; 1 where bytes differed or somebody was left."""
    arguments = argparse.ArgumentParser(description=__doc__)
    arguments.add_argument("--data", type=Path, required=True)
    arguments.add_argument("--work", type=Path, required=True)
    arguments.add_argument("--seed", type=int, default=1)
    arguments.add_argument("--number", type=int, default=42)
    arguments.add_argument("--songs", type=int, default=150)
    given = arguments.parse_args()
    given.work.mkdir(parents=True, exist_ok=True)
    chance, faults = random.Random(given.seed), 0
    build = corpus(given.work, given.data, given.songs)
    whole, whole_run = given.work / "whole", given.work / "whole-run"
    again, again_run = given.work / "again", given.work / "again-run"
    sound = commands(build, whole, whole_run, whole / "release")
    seconds = {name: ended(command) for name, command in sound.items()}
    disturbed = commands(build, again, again_run, whole / "release")
    each = -(-given.number // len(disturbed))
    total = 0
    for name, command in disturbed.items():
        n_left = n_killed = 0
        if name == "build":
            shutil.rmtree(again)
        for _ in range(3 * each):
            was, left = killed(command, seconds[name] * chance.uniform(0.15, 0.95), chance)
            n_killed, n_left = n_killed + was, n_left + left
            if n_killed == each:
                break
        ended(command)
        total, faults = total + n_killed, faults + n_left
        print(
            f"{name}: {n_killed} kills of {seconds[name]:.0f} s, {n_left} left", flush=True
        )
        if name in ("report", "build"):
            faults += differ(hashes(whole), hashes(again))
    runs = [
        {n: h for n, h in hashes(run).items() if n in CHECKPOINTS}
        for run in (whole_run, again_run)
    ]
    faults += differ(*runs)
    print(f"{total} kills: {faults} faults")
    return int(faults > 0)


def differ(one: dict[str, str], other: dict[str, str]) -> int:
    """How many files are not the same, said."""
    names = sorted(name for name in {*one, *other} if one.get(name) != other.get(name))
    print(f"  {len(one)} files, {len(names)} differ: {names[:5]}", flush=True)
    return len(names)


if __name__ == "__main__":
    sys.exit(main())
