"""The same build alone and beside busy loops: the bytes must be the same.

    python tests/campaigns/busy.py --data FOLDER --work EMPTY_FOLDER --loops 4

FOLDER holds lpd_5/lpd_5_full and nottingham. A campaign: run by hand, no part of `make test`.
"""

import argparse
import subprocess
import sys
from pathlib import Path

from kills import corpus, differ, ended
from wild import data_command, hashes


def main() -> int:
    """Build twice and compare; 1 where a byte differs."""
    arguments = argparse.ArgumentParser(description=__doc__)
    arguments.add_argument("--data", type=Path, required=True)
    arguments.add_argument("--work", type=Path, required=True)
    arguments.add_argument("--loops", type=int, default=4)
    arguments.add_argument("--songs", type=int, default=150)
    given = arguments.parse_args()
    given.work.mkdir(parents=True, exist_ok=True)
    build = str(corpus(given.work, given.data, given.songs))
    alone, beside = given.work / "alone", given.work / "beside"
    print(
        f"alone: {ended(data_command('build', build, '--out', str(alone))):.0f} s",
        flush=True,
    )
    loop = [sys.executable, "-c", "while True: pass"]
    loops = [subprocess.Popen(loop) for _ in range(given.loops)]
    try:
        seconds = ended(data_command("build", build, "--out", str(beside)))
    finally:
        for one in loops:
            one.kill()
            one.wait()
    print(f"beside {given.loops} loops: {seconds:.0f} s", flush=True)
    return int(differ(hashes(alone), hashes(beside)) > 0)


if __name__ == "__main__":
    sys.exit(main())
