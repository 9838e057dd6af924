"""Stop real commands by Ctrl-C and SIGTERM, with a terminal and without: what is printed, the exit
code, how long it takes, and which processes are left.

    python tests/campaigns/interrupts.py --data FOLDER --work EMPTY_FOLDER [--after 2 6 --seed 1]

FOLDER holds nottingham/ and lpd_5/lpd_5_full. A campaign: run by hand, no part of `make test`.
"""

import argparse
import os
import pty
import select
import signal
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from wild import environment, family, run_build

ROOT = Path(__file__).resolve().parents[2]
MOST_SECONDS = 3.0


def commands(work: Path, data: Path) -> dict[str, list[str]]:
    """The commands that are stopped, in folders of their own."""
    build = work / "build.toml"
    build.write_text(
        f'name = "t"\nshards = 16\n[sources.lpd5]\nroot = "{data}/lpd_5/lpd_5_full"\n'
        f'[sources.nottingham]\nroot = "{data}/nottingham"\n[filters.nottingham]\nmin_bars = 8\n'
    )
    split = str(ROOT / "manifests" / "splits" / "half.toml")
    run = str(ROOT / "manifests" / "runs" / "tiny.toml")
    done = str(work / "done")
    data_command = [sys.executable, "-m", "pipelines.cli"]
    return {
        "build": [*data_command, "build", str(build), "--out", str(work / "stopped")],
        "split": [*data_command, "split", split, "--corpus", done, "--out", str(work / "half")],
        "verify": [*data_command, "verify", done],
        "report": [*data_command, "report", done],
        "train": [
            sys.executable, "-m", "training.cli", "train", run, "--data", f"{done}/release",
            "--out", str(work / "run"), "--set", "train.steps=100000",
            "--set", "data.supervision=0",
        ],
    }  # fmt: skip


def stopped(
    command: Sequence[str], number: int, after: float, terminal: bool
) -> dict[str, Any]:
    """Run a command, stop it `after` seconds, and tell what came of it."""
    master, slave = pty.openpty() if terminal else os.pipe()
    process = subprocess.Popen(
        command,
        stdin=slave if terminal else subprocess.DEVNULL,
        stdout=slave,
        stderr=slave,
        start_new_session=True,
        env=environment(),
        preexec_fn=_take_terminal if terminal else None,
    )
    os.close(slave)
    text = _read(master, after)
    before = family(process.pid)
    begun = time.monotonic()
    if terminal and number == signal.SIGINT:
        os.write(master, b"\x03")  # to every process of the terminal, as a person does
    else:
        process.send_signal(number)
    try:
        code = process.wait(30)
    except subprocess.TimeoutExpired:
        code = None
        process.kill()
    seconds = time.monotonic() - begun
    text += _read(master, 0.5)
    os.close(master)
    time.sleep(0.5)
    left = [pid for pid in before if pid != process.pid and _lives(pid)]
    return {
        "code": code,
        "seconds": seconds,
        "left": left,
        "text": text,
        "had": len(before),
    }


def _take_terminal() -> None:
    import fcntl
    import termios

    fcntl.ioctl(0, termios.TIOCSCTTY, 0)


def _read(stream: int, seconds: float) -> str:
    end, parts = time.monotonic() + seconds, []
    while (left := end - time.monotonic()) > 0:
        if select.select([stream], [], [], left)[0]:
            try:
                part = os.read(stream, 65536)
            except OSError:  # the terminal has no process any more
                break
            if not part:
                break
            parts.append(part)
    return b"".join(parts).decode(errors="replace")


def _lives(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False


def main() -> int:
    """Every command, stopped in every way; 1 where one was not stopped as it should."""
    arguments = argparse.ArgumentParser(description=__doc__)
    arguments.add_argument("--data", type=Path, required=True)
    arguments.add_argument("--work", type=Path, required=True)
    arguments.add_argument("--after", type=float, nargs="+", default=[1.0, 8.0])
    arguments.add_argument("--only", nargs="+", default=[])
    given = arguments.parse_args()
    given.work.mkdir(parents=True, exist_ok=True)
    run_build(given.work / "done", given.data)
    faults = 0
    for name, command in commands(given.work, given.data).items():
        if given.only and name not in given.only:
            continue
        for terminal in (True, False):
            for number in (signal.SIGINT, signal.SIGTERM):
                for after in given.after:
                    found = stopped(command, number, after, terminal)
                    last = (found["text"].strip().splitlines() or [""])[-1]
                    sound = (
                        found["code"] == 128 + number
                        and not found["left"]
                        and found["seconds"] <= MOST_SECONDS
                        and "Traceback" not in found["text"]
                    )
                    faults += not sound
                    print(
                        f"{'ok ' if sound else 'BAD'} {name} {number.name} after {after:g} s, "
                        f"{'terminal' if terminal else 'pipe'}: exit {found['code']} in "
                        f"{found['seconds']:.1f} s, {found['had']} processes, "
                        f"{len(found['left'])} left: {last}",
                        flush=True,
                    )
                    if not sound:
                        print(found["text"][-3000:])
    print(f"{faults} were not stopped as they should be")
    return int(faults > 0)


if __name__ == "__main__":
    sys.exit(main())
