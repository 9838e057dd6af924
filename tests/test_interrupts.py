"""A command that is stopped says one sentence, ends with the signal's code, and leaves nobody."""

import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
# A command that works in compiled code, or answers the signal itself and ends, or never does
WORKS = """
import signal, sys, threading, time
from schemas import working
def place(): return "3 of 7 songs"
with working.working("moodroll-data build", working.GOES_ON) as stopped, working.stage("ingest", place):
    print("at work", flush=True)
    {work}
sys.exit(stopped.code)
"""
WORK = {
    "compiled": "import hashlib; hashlib.pbkdf2_hmac('sha1', b'', b'', 10**9)",
    "waiting": "threading.Event().wait(60)",
    "answers": "told = []; signal.signal(signal.SIGINT, lambda *_: told.append(1)); "
    "signal.signal(signal.SIGTERM, lambda *_: told.append(1))\n"
    "    while not told: time.sleep(0.01)\n    print('saved')",
    "deaf": "signal.signal(signal.SIGINT, signal.SIG_IGN); signal.signal(signal.SIGTERM, print)\n"
    "    while True: time.sleep(0.01)",
}


@pytest.mark.parametrize(
    ("work", "number"),
    [
        ("compiled", signal.SIGINT),
        ("waiting", signal.SIGTERM),
        ("answers", signal.SIGINT),
        ("deaf", signal.SIGTERM),
    ],
)
def test_one_sentence_and_the_code_of_the_signal(work: str, number: signal.Signals) -> None:
    process = subprocess.Popen(
        [sys.executable, "-c", WORKS.format(work=WORK[work])],
        cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
    )  # fmt: skip
    assert process.stdout and process.stdout.readline() == "at work\n"
    time.sleep(0.1)
    begun = time.monotonic()
    process.send_signal(number)
    out, error = process.communicate(timeout=30)
    assert process.returncode == 128 + number
    assert time.monotonic() - begun < 10
    if work == "answers":
        assert (out, error) == ("saved\n", "")
    else:
        says = "stopped at 3 of 7 songs; the same command goes on from there"
        assert error == f"moodroll-data build: {says}\n"


def test_lines_come_while_a_stage_lasts(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    from schemas import working

    monkeypatch.setattr(working, "SECONDS_BETWEEN_LINES", 0.05)
    with working.working("moodroll-data curate", working.AGAIN):
        time.sleep(0.2)
        with working.stage("report", lambda: "2 of 3 plots"):
            time.sleep(0.2)
        assert "report: 2 of 3 plots, 0 s\n" in capsys.readouterr().err
        with working.stage("ingest", has_bar=True):
            capsys.readouterr()
            time.sleep(0.2)
            assert capsys.readouterr().err == ""
        time.sleep(0.2)
    lines = capsys.readouterr().err.splitlines()
    assert lines and all(line.startswith("curate: ") for line in lines)


def test_the_handlers_of_before_are_put_back() -> None:
    from schemas import working

    before = [signal.getsignal(number) for number in working.STOPS]
    with working.working("moodroll-data curate", working.AGAIN) as stopped:
        assert [signal.getsignal(number) for number in working.STOPS] != before
    assert [signal.getsignal(number) for number in working.STOPS] == before
    assert stopped.code == 0


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("Traceback...\nOSError: [Errno 28] No space left on device [while running 'x']\n", "No space left on device"),
        ("FileNotFoundError: [Errno 2] No such file or directory: '/o/plan' [while 'W']", "No such file or directory (/o/plan)"),
        ("PermissionError: [Errno 13] Permission denied: '/o/a' -> '/o/b'", "Permission denied (/o/a)"),
        ("ValueError: shard 3", ""),
    ],
)  # fmt: skip
def test_faults_of_the_machine_are_told_from_our_mistakes(text: str, says: str) -> None:
    from pipelines.cli import _fault_of_a_worker

    assert _fault_of_a_worker(text) == says
