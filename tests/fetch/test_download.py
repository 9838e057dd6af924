"""fetch against a server that drops, lies, redirects, or has changed."""

import hashlib
import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest


def test_three_drops_in_the_middle_are_gone_on_from(host: Any, desk: Any) -> None:
    data = host.files["/x"] = desk.noisy()
    host.tricks = ["cut", 503, "cut", "cut"]
    manifest = desk.manifest(urls=[f"{host.url}/x"])
    _, fetched, _ = desk.fetch(manifest, tries=8)
    assert fetched.sha256 == hashlib.sha256(data).hexdigest()
    starts = [int(asked[6:-1]) if asked else 0 for _, asked, _ in host.asked]
    assert (
        len(starts) == 5
        and starts[1] == starts[2]
        and 0 < starts[1] < starts[3] < starts[4] < len(data)
    )
    assert {condition for _, _, condition in host.asked[1:]} == {host.etag("/x")}
    assert host.sent - len("no") == 3 * host.cut_bytes + len(data) - starts[4]


def test_a_fetch_killed_three_times_goes_on_to_the_right_hash(host: Any, desk: Any) -> None:
    data = host.files["/x"] = desk.packed("tar.gz", {"set/noise": desk.noise(1_500_000)})
    host.drip_seconds = 0.005
    manifest = desk.manifest(urls=[f"{host.url}/x"])
    command = [
        sys.executable,
        "-c",
        "import sys; from pipelines.cli import main; sys.exit(main())",
        "fetch",
        manifest,
    ]
    part = desk.to / "tunes.part"
    for kill in (1, 2, 3):
        running = subprocess.Popen(
            [*command, "--to", str(desk.to)],
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        while not part.exists() or part.stat().st_size < kill * len(data) // 4:
            assert running.poll() is None
            time.sleep(0.005)
        running.send_signal(signal.SIGKILL)
        running.wait()
        assert sorted(os.listdir(desk.to)) == ["tunes.part", "tunes.part.json"]
        assert part.stat().st_size < len(data)
    done = subprocess.run(
        [*command, "--to", str(desk.to)], capture_output=True, text=True, check=True
    )
    assert hashlib.sha256(data).hexdigest() in done.stdout
    assert sorted(os.listdir(desk.to)) == ["tunes", "tunes.lock.json"]
    starts = [int(asked[6:-1]) for _, asked, _ in host.asked if asked]
    assert len(host.asked) == 4 and len(starts) == 3 and starts[2] >= 3 * len(data) // 4
    assert (desk.to / "tunes" / "noise").read_bytes() == desk.noise(1_500_000)


def test_two_versions_are_never_mixed(host: Any, desk: Any) -> None:
    host.files["/x"], host.tricks, host.always = desk.noisy(), ["cut"], 500
    manifest = desk.manifest(urls=[f"{host.url}/x"])
    desk.refused(manifest)
    # Shorter than what has come of the other.
    host.files["/x"], host.always = desk.packed("tar.gz", desk.TUNES), None
    assert len(host.files["/x"]) < (desk.to / "tunes.part").stat().st_size
    _, fetched, _ = desk.fetch(manifest)
    assert host.asked[-1][1] is not None
    assert fetched.sha256 == hashlib.sha256(host.files["/x"]).hexdigest()


@pytest.mark.parametrize("pinned", [True, False])
def test_without_a_validator_only_a_pinned_file_is_gone_on_with(
    host: Any, desk: Any, pinned: bool
) -> None:
    data = host.files["/x"] = desk.noisy()
    host.validators, host.tricks = False, ["cut"]
    pin = {"sha256": hashlib.sha256(data).hexdigest()} if pinned else {}
    desk.fetch(desk.manifest(urls=[f"{host.url}/x"], **pin))
    assert bool(host.asked[1][1]) == pinned


def test_a_line_that_ends_early_and_says_nothing_is_gone_on_from(
    host: Any, desk: Any
) -> None:
    data = host.files["/x"] = desk.noisy()
    host.tricks = ["blind"]
    desk.fetch(desk.manifest(urls=[f"{host.url}/x"], size=len(data)))
    assert [asked for _, asked, _ in host.asked] == [None, f"bytes={host.cut_bytes}-"]


def test_a_server_that_sends_no_byte_leaves_nothing(host: Any, desk: Any) -> None:
    host.files["/x"], host.always, host.cut_bytes = desk.noisy(), "cut", 0
    assert "breaks off after 0 bytes" in desk.refused(desk.manifest(urls=[f"{host.url}/x"]))
    assert os.listdir(desk.to) == []


@pytest.mark.parametrize("trick", ["deaf", "elsewhere"])
def test_a_server_that_goes_on_wrongly_begins_again(
    host: Any, desk: Any, trick: str
) -> None:
    data = host.files["/x"] = desk.noisy()
    host.tricks = ["cut", trick]
    _, fetched, _ = desk.fetch(desk.manifest(urls=[f"{host.url}/x"]))
    assert fetched.sha256 == hashlib.sha256(data).hexdigest()


def test_a_part_that_was_whole_is_not_asked_for_again(host: Any, desk: Any) -> None:
    host.files["/x"] = desk.noisy()
    manifest = desk.manifest(urls=[f"{host.url}/x"])
    desk.to.mkdir()
    (desk.to / "tunes.part").write_bytes(host.files["/x"])
    note = {"url": f"{host.url}/x", "validator": '"v"', "total": len(host.files["/x"])}
    (desk.to / "tunes.part.json").write_text(json.dumps(note))
    (desk.to / "tunes.unpacking").mkdir()
    (desk.to / "tunes.unpacking" / "left").write_bytes(b"by a kill")
    desk.fetch(manifest)
    assert not host.asked and desk.tree(desk.to / "tunes").keys() == {"noise", "more"}


@pytest.mark.parametrize(
    ("always", "says", "n_asked"),
    [
        (404, "is not there (404)", 1),
        (410, "is not there (410)", 1),
        (403, "asks for a login or refuses (403)", 1),
        (418, "answers 418 (I'm a Teapot)", 1),
        (500, "answers 500 (Internal Server Error), 4 times in a row", 4),
        (429, "answers 429 (Too Many Requests), 4 times in a row", 4),
        ("page", "gives a web page instead of the file", 1),
        ("slow", "sends nothing for 0.4 s, 4 times in a row", 4),
        ((302, {"Location": "/x"}), "redirects without end", 31),
        (
            (302, {"Location": "ftp://127.0.0.1/x"}),
            "leads to an address that is not http or https",
            1,
        ),
        (
            (302, {"Location": "file:///etc/passwd"}),
            "leads to an address that is not http or https",
            1,
        ),
    ],
)
def test_each_answer_that_does_not_help_has_its_sentence(
    host: Any, desk: Any, always: Any, says: str, n_asked: int
) -> None:
    host.files["/x"], host.always = desk.packed("tar.gz", desk.TUNES), always
    sentence = desk.refused(desk.manifest(urls=[f"{host.url}/x"]))
    assert sentence == f"{host.url}/x {says}: try again later, or pass --url or --archive"
    assert len(host.asked) == n_asked
    assert os.listdir(desk.to) == []


def test_a_server_that_always_drops_leaves_what_can_be_gone_on_from(
    host: Any, desk: Any
) -> None:
    host.files["/x"], host.cut_bytes = (
        desk.packed("tar.gz", {"set/noise": desk.noise(1_000_000)}),
        20_000,
    )
    host.always = "cut"
    sentence = desk.refused(desk.manifest(urls=[f"{host.url}/x"]))
    assert (
        "breaks off after" in sentence
        and "4 times in a row: run it again to go on after 80,000 bytes" in sentence
    )
    assert sorted(os.listdir(desk.to)) == ["tunes.part", "tunes.part.json"]


def test_a_host_that_is_not_there_has_its_sentence(host: Any, desk: Any) -> None:
    sentence = desk.refused(desk.manifest(urls=["http://127.0.0.1:9/x"]))
    assert "cannot be reached, 4 times in a row" in sentence and os.listdir(desk.to) == []


@pytest.mark.parametrize(
    ("fields", "always", "says"),
    [
        ({"size": 1234}, None, "bytes where 1,234 are expected"),
        ({"size": 1234}, "chunked", "gives more than 1,234 bytes"),
        ({"max_gib": 1e-5}, None, "more than the 10,737 that are taken"),
        ({"max_gib": 1e-5}, "chunked", "gives more than 10,737 bytes"),
        (
            {"sha256": "0" * 64},
            None,
            "where " + "0" * 64 + " is pinned: it is not the file that was published",
        ),
        ({"kind": "zip"}, None, "is not a zip archive"),
        (
            {"inside": "lpd_5"},
            None,
            "holds set and no files in lpd_5: it is another archive",
        ),
    ],
)
def test_a_file_that_is_not_the_one_is_refused_and_leaves_nothing(
    host: Any, desk: Any, fields: dict[str, Any], always: str | None, says: str
) -> None:
    host.files["/x"], host.always = desk.noisy(), always
    assert says in desk.refused(desk.manifest(urls=[f"{host.url}/x"], **fields))
    assert os.listdir(desk.to) == []


def test_a_web_page_that_calls_itself_an_archive_is_refused(host: Any, desk: Any) -> None:
    host.files["/x"] = b"\n<!DOCTYPE html><title>Too many downloads</title>"
    for kind in ("zip", "file"):
        manifest = desk.manifest(kind=kind, urls=[f"{host.url}/x"])
        assert "is a web page instead of some tunes" in desk.refused(manifest)
        assert os.listdir(desk.to) == []


def test_a_source_without_a_pin_is_held_to_what_was_seen_first(
    host: Any, tmp_path: Path, desk: Any
) -> None:
    first = host.files["/x"] = desk.noisy()
    manifest = desk.manifest(urls=[f"{host.url}/x"])
    desk.fetch(manifest)
    noted = (desk.to / "tunes.lock.json").read_bytes()
    os.rename(desk.to / "tunes", tmp_path / "away")
    host.files["/x"] = desk.noisy(seed=7)
    sentence = desk.refused(manifest)
    assert (
        f"on first use it had {hashlib.sha256(first).hexdigest()}: it has changed"
        in sentence
    )
    assert desk.tree(desk.to) == {"tunes.lock.json": noted}
    host.files["/x"] = first
    desk.fetch(manifest)
    assert desk.tree(desk.to / "tunes") == desk.tree(tmp_path / "away")
    assert "is pinned now" in desk.refused(
        desk.manifest(urls=[f"{host.url}/x"], sha256="0" * 64)
    )


def test_a_size_of_5000_digits(desk: Any, host: Any) -> None:
    host.files["/tunes"] = desk.noisy()
    host.always = (200, {"Content-Length": "9" * 5000})
    says = desk.refused(desk.manifest(urls=[f"{host.url}/tunes"]))
    assert "gives 1,000,000,000,000,000,000 bytes, more than" in says


def test_an_answer_that_drips_has_an_end(desk: Any, host: Any) -> None:
    from pipelines.fetch.download import Manners, Part, Unreachable, Wanted, download

    host.files["/tunes"], host.drip_seconds = desk.noise(2_000_000), 0.05
    desk.folder.mkdir(exist_ok=True)
    part = Part(desk.folder / "tunes.part")
    manners = Manners(timeout_seconds=5, tries=2, deadline_seconds=0.5)
    begun = time.monotonic()
    with pytest.raises(Unreachable, match=r"has not given the file within .* hours"):
        download(f"{host.url}/tunes", part, Wanted(0, False, 10**9), manners)
    assert time.monotonic() - begun < 4


@pytest.mark.parametrize(
    ("url", "inner"),
    [
        ("http://169.254.169.254/latest/meta-data", True),
        ("http://127.0.0.1:80/", True),
        ("http://[::1]/", True),
        ("http://10.1.2.3/", True),
        ("http://192.168.0.1/x", True),
        ("http://0.0.0.0/", True),
        ("http://2130706433/", True),
        ("http://93.184.216.34/", False),
        ("http://no-such-host.invalid/", False),
        ("http://[x", False),
    ],
)
def test_addresses_of_one_s_own_network(url: str, inner: bool) -> None:
    from pipelines.fetch.asking import is_inner

    assert is_inner(url) == inner


def test_redirects_into_one_s_own_network_are_not_followed(
    desk: Any, host: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    from pipelines.fetch import asking

    host.files["/tunes"] = desk.noisy()
    host.always = (302, {"Location": "http://169.254.169.254/latest"})
    # As if the server of the tests were in the world
    inner = asking.is_inner
    monkeypatch.setattr(asking, "is_inner", lambda url: host.url not in url and inner(url))
    says = desk.refused(desk.manifest(urls=[f"{host.url}/tunes"]))
    assert "leads to an address of this machine or its network" in says
    assert len(host.asked) == 1
