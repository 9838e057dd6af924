"""fetch against a server of this machine that misbehaves, and against archives that want out of their folder."""

import gzip
import hashlib
import io
import json
import os
import signal
import stat
import subprocess
import sys
import tarfile
import threading
import time
import zipfile
from collections.abc import Callable, Iterator
from contextlib import suppress
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from pipelines.cli import main
from pipelines.fetch import sources
from pipelines.fetch.download import Manners
from pipelines.fetch.fetch import Fetched, fetch
from pipelines.fetch.sources import Source, known, load_source
from schemas.reject import BuildFailed
from schemas.settings import SettingsError

SLOW_SECONDS = 0.6
QUICK = Manners(timeout_seconds=0.4, tries=4, backoff_seconds=0.01)
TUNES = {"set/a.mid": b"MThd tune a" * 999, "set/deep/b.mid": b"MThd tune b", "set/empty.txt": b""}


class Host:
    """A server that knows Range, If-Range and ETag (RFC 9110), and what it has been asked.

    tricks: how the next requests are answered, one each, None for the truth; always: how the ones after them are. A trick
    is a status, a pair (status, headers), or a word: `cut` closes after `cut_bytes`, `deaf` ignores Range, `slow` waits,
    `page` answers with a web page, `elsewhere` goes on at another byte, `chunked` does not say the length, `blind` does not
    say it either and closes after `cut_bytes`.
    """

    def __init__(self) -> None:
        self.url = ""
        self.files: dict[str, bytes] = {}
        self.tricks: list[Any] = []
        self.always: Any = None
        self.asked: list[tuple[str, str | None, str | None]] = []
        self.cut_bytes = 30_000
        self.validators = True
        self.drip_seconds = 0.0
        self.sent = 0

    def etag(self, path: str) -> str:
        return f'"{hashlib.sha256(self.files[path]).hexdigest()[:16]}"'


@pytest.fixture
def host(monkeypatch: pytest.MonkeyPatch) -> Iterator[Host]:
    """The server, running."""
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    host = Host()

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            asked, condition = self.headers.get("Range"), self.headers.get("If-Range")
            host.asked.append((self.path, asked, condition))
            trick = host.tricks.pop(0) if host.tricks else host.always
            if trick == "slow":
                time.sleep(SLOW_SECONDS)
            if trick == "page":
                return self.send(200, {"Content-Type": "text/html; charset=utf-8"}, b"<html>Sign in</html>")
            if isinstance(trick, int | tuple):
                status, headers = trick if isinstance(trick, tuple) else (trick, {})
                return self.send(status, headers, b"no")
            data = host.files[self.path]
            headers = {"ETag": host.etag(self.path)} if host.validators else {}
            start, status = 0, 200
            if asked and trick != "deaf" and condition in (None, host.etag(self.path)):
                start, status = int(asked.removeprefix("bytes=").removesuffix("-")), 206
                if start >= len(data):
                    return self.send(416, {"Content-Range": f"bytes */{len(data)}"}, b"")
                start += 7 if trick == "elsewhere" else 0
                headers["Content-Range"] = f"bytes {start}-{len(data) - 1}/{len(data)}"
            cut = host.cut_bytes if trick in ("cut", "blind") else None
            self.send(status, headers, data[start:], cut, trick in ("chunked", "blind"))
            return None

        def send(self, status: int, headers: dict[str, str], data: bytes, cut: int | None = None, silent: bool = False) -> None:
            self.send_response(status)
            for name, value in headers.items() if silent else ({"Content-Length": str(len(data))} | headers).items():
                self.send_header(name, value)
            self.end_headers()
            data, step = data[:cut], 20_000
            for at in range(0, len(data), step):
                self.wfile.write(data[at : at + step])
                host.sent += len(data[at : at + step])
                time.sleep(host.drip_seconds)

        def handle(self) -> None:
            # The client has hung up or was killed, as the test wants.
            with suppress(ConnectionError):
                super().handle()

        def log_message(self, *_: Any) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    host.url = f"http://127.0.0.1:{server.server_port}"
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    yield host
    server.shutdown()
    thread.join()
    server.server_close()


def source_file(folder: Path, **fields: Any) -> str:
    """A manifest of a source called tunes; returns its path."""
    whole = {
        "name": "tunes", "title": "some tunes", "holds": "tunes", "licence": "CC0", "citation": "nobody: nothing, 2026",
        "kind": "tar.gz", "path": "tunes", "inside": "set",
    } | fields  # fmt: skip
    path = folder / "tunes.toml"
    path.write_text("".join(f"{key} = {json.dumps(value)}\n" for key, value in whole.items()))
    return str(path)


def packed(kind: str, members: dict[str, bytes]) -> bytes:
    """An archive of plain files."""
    out = io.BytesIO()
    if kind == "zip":
        with zipfile.ZipFile(out, "w", zipfile.ZIP_DEFLATED) as archive:
            for name, data in members.items():
                archive.writestr(name, data)
        return out.getvalue()
    with tarfile.open(fileobj=out, mode=f"w:{kind.removeprefix('tar.')}") as tar:  # type: ignore[call-overload]
        for name, data in members.items():
            tar.addfile(sized(name, len(data)), io.BytesIO(data))
    return out.getvalue()


def sized(name: str, size: int, **fields: Any) -> tarfile.TarInfo:
    info = tarfile.TarInfo(name)
    info.size = size
    for key, value in fields.items():
        setattr(info, key, value)
    return info


def noise(n_bytes: int, seed: int = 0) -> bytes:
    """Bytes that no packer makes smaller."""
    return np.random.default_rng(seed).bytes(n_bytes)


def noisy_archive(seed: int = 0) -> bytes:
    return packed("tar.gz", {"set/noise": noise(100_000, seed), "set/more": noise(50_000, seed + 1)})


def tree(folder: Path) -> dict[str, bytes]:
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in sorted(folder.rglob("*")) if path.is_file()}


def refused(to: Path, manifest: str, archive: str = "", url: str = "") -> str:
    """The one sentence with which a fetch is refused."""
    with pytest.raises(BuildFailed) as error:
        fetch(manifest, str(to), archive, url, QUICK)
    assert "\n" not in str(error.value)
    return str(error.value)


@pytest.fixture
def to(tmp_path: Path) -> Path:
    return tmp_path / "data"


# What stands in manifests/sources


@pytest.mark.parametrize("name", known())
def test_every_manifest_is_in_order(name: str) -> None:
    source = load_source(name)
    assert source.name == name
    assert len(source.licence) > 4 and len(source.citation) > 20
    assert bool(source.size) == bool(source.sha256)


def test_the_sources_the_project_builds_from_are_there() -> None:
    assert {"lpd-5-full", "lpd-5-cleansed", "lmd-match-scores", "msd-unique-tracks", "msd-summary"} <= set(known())
    assert {"nottingham", "nottingham-abc", "nottingham-lisa"} <= set(known())


@pytest.mark.parametrize(
    ("fields", "says"),
    [
        ({"licence": " "}, "licence and citation"),
        ({"urls": []}, "urls, or a browser page"),
        ({"urls": ["ftp://a/b.zip"]}, "not an http or https address"),
        ({"sha256": "abc"}, "64 digits"),
        ({"path": "../tunes"}, "must stay below"),
        ({"inside": "/set"}, "must stay below"),
        ({"path": "."}, "name a place"),
        ({"name": "a/b"}, "must be of a-z"),
        ({"kind": "rar"}, "kind must be 'zip' or 'tar.gz'"),
        ({"licence_": "x"}, "unknown key licence_: did you mean licence?"),
    ],
)
def test_a_manifest_that_is_not_in_order_is_refused_by_name(tmp_path: Path, fields: dict[str, Any], says: str) -> None:
    path = source_file(tmp_path, **({"urls": ["http://a/b"]} | fields))
    with pytest.raises(SettingsError, match=says) as error:
        load_source(path)
    assert path in str(error.value)


def test_the_manifests_of_an_installed_package_are_found(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    installed = tmp_path / "share" / "moodroll" / "manifests" / "sources"
    installed.mkdir(parents=True)
    source_file(installed, urls=["http://a/b"])
    monkeypatch.setattr(sources, "__file__", str(tmp_path / "lib" / "pipelines" / "fetch" / "sources.py"))
    monkeypatch.setattr("sysconfig.get_path", lambda name: str(tmp_path))
    assert known() == ["tunes"] and load_source("tunes").title == "some tunes"


# What goes well


@pytest.mark.parametrize("kind", ["zip", "tar.gz", "tar.xz"])
def test_an_archive_is_fetched_verified_and_unpacked(host: Host, tmp_path: Path, to: Path, kind: str) -> None:
    data = packed(kind, {**TUNES, "readme": b"left out"})
    host.files["/x"] = data
    sha256 = hashlib.sha256(data).hexdigest()
    manifest = source_file(tmp_path, kind=kind, urls=[f"{host.url}/x"], size=len(data), sha256=sha256)
    source, fetched, was_there = fetch(manifest, str(to), "", "", QUICK)
    assert not was_there and source.name == "tunes"
    assert tree(to / "tunes") == {name.removeprefix("set/"): data for name, data in TUNES.items()}
    assert fetched == Fetched("tunes", sha256, len(data), "tunes", 3, sum(map(len, TUNES.values())))
    assert sorted(os.listdir(to)) == ["tunes", "tunes.lock.json"]
    assert json.loads((to / "tunes.lock.json").read_text())["sha256"] == sha256
    assert str(tmp_path) not in (to / "tunes.lock.json").read_text()


def test_what_is_fetched_already_is_not_fetched_again(host: Host, tmp_path: Path, to: Path) -> None:
    host.files["/x"] = packed("tar.gz", TUNES)
    manifest = source_file(tmp_path, urls=[f"{host.url}/x"])
    _, first, _ = fetch(manifest, str(to), "", "", QUICK)
    _, second, was_there = fetch(manifest, str(to), "", "", QUICK)
    assert was_there and second == first and len(host.asked) == 1
    (to / "tunes" / "a.mid").unlink()
    assert "has 2 files of" in refused(to, manifest)


def test_a_plain_file_is_fetched(host: Host, tmp_path: Path, to: Path) -> None:
    host.files["/x"], host.always = b'{"TR": 1}', "chunked"
    manifest = source_file(tmp_path, kind="file", path="deep/scores.json", inside="", urls=[f"{host.url}/x"])
    fetch(manifest, str(to), "", "", QUICK)
    assert tree(to).keys() == {"deep/scores.json", "tunes.lock.json"}
    assert (to / "deep" / "scores.json").read_bytes() == host.files["/x"]


def test_redirects_are_followed_and_mirrors_are_tried_in_turn(host: Host, tmp_path: Path, to: Path) -> None:
    host.files["/x"] = packed("tar.gz", TUNES)
    host.tricks = [404, (302, {"Location": "/y"}), (301, {"Location": f"{host.url}/x"})]
    fetch(source_file(tmp_path, urls=[f"{host.url}/gone", f"{host.url}/moved"]), str(to), "", "", QUICK)
    assert [path for path, _, _ in host.asked] == ["/gone", "/moved", "/y", "/x"]
    assert len(tree(to / "tunes")) == 3


def test_an_address_given_by_hand_takes_the_place_of_the_manifests(host: Host, tmp_path: Path, to: Path) -> None:
    host.files["/mine"] = packed("tar.gz", TUNES)
    fetch(source_file(tmp_path, urls=[f"{host.url}/theirs"]), str(to), "", f"{host.url}/mine", QUICK)
    assert [path for path, _, _ in host.asked] == ["/mine"]


# Drops


def test_three_drops_in_the_middle_are_gone_on_from(host: Host, tmp_path: Path, to: Path) -> None:
    data = host.files["/x"] = noisy_archive()
    host.tricks = ["cut", 503, "cut", "cut"]
    manifest = source_file(tmp_path, urls=[f"{host.url}/x"])
    _, fetched, _ = fetch(manifest, str(to), "", "", Manners(0.4, 8, 0.01))
    assert fetched.sha256 == hashlib.sha256(data).hexdigest()
    starts = [int(asked[6:-1]) if asked else 0 for _, asked, _ in host.asked]
    assert len(starts) == 5 and starts[1] == starts[2] and 0 < starts[1] < starts[3] < starts[4] < len(data)
    assert {condition for _, _, condition in host.asked[1:]} == {host.etag("/x")}
    assert host.sent - len("no") == 3 * host.cut_bytes + len(data) - starts[4]


def test_a_fetch_killed_three_times_goes_on_to_the_right_hash(host: Host, tmp_path: Path, to: Path) -> None:
    data = host.files["/x"] = packed("tar.gz", {"set/noise": noise(1_500_000)})
    host.drip_seconds = 0.005
    manifest = source_file(tmp_path, urls=[f"{host.url}/x"])
    command = [sys.executable, "-c", "import sys; from pipelines.cli import main; sys.exit(main())", "fetch", manifest]
    part = to / "tunes.part"
    for kill in (1, 2, 3):
        running = subprocess.Popen([*command, "--to", str(to)], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        while not part.exists() or part.stat().st_size < kill * len(data) // 4:
            assert running.poll() is None
            time.sleep(0.005)
        running.send_signal(signal.SIGKILL)
        running.wait()
        assert sorted(os.listdir(to)) == ["tunes.part", "tunes.part.json"]
        assert part.stat().st_size < len(data)
    done = subprocess.run([*command, "--to", str(to)], capture_output=True, text=True, check=True)
    assert hashlib.sha256(data).hexdigest() in done.stdout
    assert sorted(os.listdir(to)) == ["tunes", "tunes.lock.json"]
    starts = [int(asked[6:-1]) for _, asked, _ in host.asked if asked]
    assert len(host.asked) == 4 and len(starts) == 3 and starts[2] >= 3 * len(data) // 4
    assert (to / "tunes" / "noise").read_bytes() == noise(1_500_000)


def test_two_versions_are_never_mixed(host: Host, tmp_path: Path, to: Path) -> None:
    host.files["/x"], host.tricks, host.always = noisy_archive(), ["cut"], 500
    manifest = source_file(tmp_path, urls=[f"{host.url}/x"])
    refused(to, manifest)
    # Shorter than what has come of the other.
    host.files["/x"], host.always = packed("tar.gz", TUNES), None
    assert len(host.files["/x"]) < (to / "tunes.part").stat().st_size
    _, fetched, _ = fetch(manifest, str(to), "", "", QUICK)
    assert host.asked[-1][1] is not None
    assert fetched.sha256 == hashlib.sha256(host.files["/x"]).hexdigest()


@pytest.mark.parametrize("pinned", [True, False])
def test_without_a_validator_only_a_pinned_file_is_gone_on_with(host: Host, tmp_path: Path, to: Path, pinned: bool) -> None:
    data = host.files["/x"] = noisy_archive()
    host.validators, host.tricks = False, ["cut"]
    pin = {"sha256": hashlib.sha256(data).hexdigest()} if pinned else {}
    fetch(source_file(tmp_path, urls=[f"{host.url}/x"], **pin), str(to), "", "", QUICK)
    assert bool(host.asked[1][1]) == pinned


def test_a_line_that_ends_early_and_says_nothing_is_gone_on_from(host: Host, tmp_path: Path, to: Path) -> None:
    data = host.files["/x"] = noisy_archive()
    host.tricks = ["blind"]
    fetch(source_file(tmp_path, urls=[f"{host.url}/x"], size=len(data)), str(to), "", "", QUICK)
    assert [asked for _, asked, _ in host.asked] == [None, f"bytes={host.cut_bytes}-"]


def test_a_server_that_sends_no_byte_leaves_nothing(host: Host, tmp_path: Path, to: Path) -> None:
    host.files["/x"], host.always, host.cut_bytes = noisy_archive(), "cut", 0
    assert "breaks off after 0 bytes" in refused(to, source_file(tmp_path, urls=[f"{host.url}/x"]))
    assert os.listdir(to) == []


@pytest.mark.parametrize("trick", ["deaf", "elsewhere"])
def test_a_server_that_goes_on_wrongly_begins_again(host: Host, tmp_path: Path, to: Path, trick: str) -> None:
    data = host.files["/x"] = noisy_archive()
    host.tricks = ["cut", trick]
    _, fetched, _ = fetch(source_file(tmp_path, urls=[f"{host.url}/x"]), str(to), "", "", QUICK)
    assert fetched.sha256 == hashlib.sha256(data).hexdigest()


def test_a_part_that_was_whole_is_not_asked_for_again(host: Host, tmp_path: Path, to: Path) -> None:
    host.files["/x"] = noisy_archive()
    manifest = source_file(tmp_path, urls=[f"{host.url}/x"])
    to.mkdir()
    (to / "tunes.part").write_bytes(host.files["/x"])
    note = {"url": f"{host.url}/x", "validator": '"v"', "total": len(host.files["/x"])}
    (to / "tunes.part.json").write_text(json.dumps(note))
    (to / "tunes.unpacking").mkdir()
    (to / "tunes.unpacking" / "left").write_bytes(b"by a kill")
    fetch(manifest, str(to), "", "", QUICK)
    assert not host.asked and tree(to / "tunes").keys() == {"noise", "more"}


# What a server may do


@pytest.mark.parametrize(
    ("always", "says", "n_asked"),
    [
        (404, "is not there (404)", 1),
        (410, "is not there (410)", 1),
        (403, "asks for a login or refuses (403)", 1),
        (418, "answers 418", 1),
        (500, "answers 500 (Internal Server Error), 4 times in a row", 4),
        (429, "answers 429 (Too Many Requests), 4 times in a row", 4),
        ("page", "gives a web page instead of the file", 1),
        ("slow", "sends nothing for 0.4 s, 4 times in a row", 4),
        ((302, {"Location": "/x"}), "redirects without end", 31),
        ((302, {"Location": "ftp://127.0.0.1/x"}), "leads to an address that is not http or https", 1),
        ((302, {"Location": "file:///etc/passwd"}), "leads to an address that is not http or https", 1),
    ],
)
def test_each_answer_that_does_not_help_has_its_sentence(
    host: Host, tmp_path: Path, to: Path, always: Any, says: str, n_asked: int
) -> None:
    host.files["/x"], host.always = packed("tar.gz", TUNES), always
    sentence = refused(to, source_file(tmp_path, urls=[f"{host.url}/x"]))
    assert sentence == f"{host.url}/x {says}: try again later, or pass --url or --archive" or says in sentence
    assert len(host.asked) == n_asked
    assert os.listdir(to) == []


def test_a_server_that_always_drops_leaves_what_can_be_gone_on_from(host: Host, tmp_path: Path, to: Path) -> None:
    host.files["/x"], host.cut_bytes = packed("tar.gz", {"set/noise": noise(1_000_000)}), 20_000
    host.always = "cut"
    sentence = refused(to, source_file(tmp_path, urls=[f"{host.url}/x"]))
    assert "breaks off after" in sentence and "4 times in a row: run it again to go on after 80,000 bytes" in sentence
    assert sorted(os.listdir(to)) == ["tunes.part", "tunes.part.json"]


def test_a_host_that_is_not_there_has_its_sentence(host: Host, tmp_path: Path, to: Path) -> None:
    sentence = refused(to, source_file(tmp_path, urls=["http://127.0.0.1:9/x"]))
    assert "cannot be reached, 4 times in a row" in sentence and os.listdir(to) == []


@pytest.mark.parametrize(
    ("fields", "always", "says"),
    [
        ({"size": 1234}, None, "bytes where 1,234 are expected"),
        ({"size": 1234}, "chunked", "gives more than 1,234 bytes"),
        ({"max_gib": 1e-5}, None, "more than the 10,737 that are taken"),
        ({"max_gib": 1e-5}, "chunked", "gives more than 10,737 bytes"),
        ({"sha256": "0" * 64}, None, "where " + "0" * 64 + " is pinned: it is not the file that was published"),
        ({"kind": "zip"}, None, "is not a zip archive"),
        ({"inside": "lpd_5"}, None, "holds set and no files in lpd_5: it is another archive"),
    ],
)
def test_a_file_that_is_not_the_one_is_refused_and_leaves_nothing(
    host: Host, tmp_path: Path, to: Path, fields: dict[str, Any], always: str | None, says: str
) -> None:
    host.files["/x"], host.always = noisy_archive(), always
    assert says in refused(to, source_file(tmp_path, urls=[f"{host.url}/x"], **fields))
    assert os.listdir(to) == []


def test_a_web_page_that_calls_itself_an_archive_is_refused(host: Host, tmp_path: Path, to: Path) -> None:
    host.files["/x"] = b"\n<!DOCTYPE html><title>Too many downloads</title>"
    for kind in ("zip", "file"):
        manifest = source_file(tmp_path, kind=kind, urls=[f"{host.url}/x"])
        assert "is a web page instead of some tunes" in refused(to, manifest)
        assert os.listdir(to) == []


def test_a_source_without_a_pin_is_held_to_what_was_seen_first(host: Host, tmp_path: Path, to: Path) -> None:
    first = host.files["/x"] = noisy_archive()
    manifest = source_file(tmp_path, urls=[f"{host.url}/x"])
    fetch(manifest, str(to), "", "", QUICK)
    noted = (to / "tunes.lock.json").read_bytes()
    os.rename(to / "tunes", tmp_path / "away")
    host.files["/x"] = noisy_archive(seed=7)
    sentence = refused(to, manifest)
    assert f"on first use it had {hashlib.sha256(first).hexdigest()}: it has changed" in sentence
    assert tree(to) == {"tunes.lock.json": noted}
    host.files["/x"] = first
    fetch(manifest, str(to), "", "", QUICK)
    assert tree(to / "tunes") == tree(tmp_path / "away")
    assert "is pinned now" in refused(to, source_file(tmp_path, urls=[f"{host.url}/x"], sha256="0" * 64))


# What an archive may do


def tar_of(*members: tuple[tarfile.TarInfo, bytes], **options: Any) -> bytes:
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w:gz", **options) as tar:
        for info, data in members:
            tar.addfile(info, io.BytesIO(data))
    return out.getvalue()


def tar_named(name: str) -> bytes:
    return tar_of((sized("set/good", 4), b"good"), (sized(name, 4), b"evil"))


def tar_typed(kind: bytes, linkname: str = "") -> bytes:
    good = (sized("set/good", 4), b"good")
    return tar_of(good, (sized("set/link", 0, type=kind, linkname=linkname, devmajor=1, devminor=3), b""))


def tar_long_header() -> bytes:
    return tar_of((sized("set/good", 4, pax_headers={"comment": "x" * 5_000_000}), b"good"), format=tarfile.PAX_FORMAT)


def tar_header_chain() -> bytes:
    """Thousands of extended headers on end, each of which speaks of the next."""
    header = sized("x", 512, type=tarfile.XHDTYPE).tobuf(tarfile.USTAR_FORMAT)
    return gzip.compress((header + b"12 path=abcd".ljust(512, b"\0")) * 5000)


def tar_sparse() -> bytes:
    """Four bytes that say they are a thousand million, most of them a hole."""
    headers = {"GNU.sparse.map": "0,4", "GNU.sparse.size": "1000000000", "GNU.sparse.numblocks": "1"}
    return tar_of((sized("set/hole", 4, pax_headers=headers), b"good"), format=tarfile.PAX_FORMAT)


def tar_with_tail() -> bytes:
    return gzip.compress(gzip.decompress(packed("tar.gz", TUNES)) + bytes(9_000_000), 1)


def tar_negative() -> bytes:
    info = sized("set/bad", 0)
    raw = bytearray(info.tobuf(tarfile.GNU_FORMAT))
    raw[124:136] = b"\xff" * 11 + b"\x00"
    raw[148:156] = b" " * 8
    raw[148:156] = b"%06o\0 " % sum(raw[:512])
    return gzip.compress(bytes(raw) + bytes(1024))


def zip_of(name: str, data: bytes = b"evil", mode: int = 0, flags: int = 0, method: int = zipfile.ZIP_DEFLATED) -> bytes:
    out = io.BytesIO()
    info = zipfile.ZipInfo("set/good")
    with zipfile.ZipFile(out, "w") as archive:
        archive.writestr(info, b"good")
        info = zipfile.ZipInfo(name)
        info.external_attr, info.compress_type = mode << 16, method
        archive.writestr(info, data)
    packed = bytearray(out.getvalue())
    at = packed.rindex(b"PK\x01\x02")
    packed[at + 8] |= flags
    return bytes(packed)


def zip_lying(says: int, has: int) -> bytes:
    """A member that says another size than it has."""
    data = bytearray(zip_of("set/bomb", bytes(has)))
    at = data.rindex(b"PK\x01\x02")
    data[at + 24 : at + 28] = says.to_bytes(4, "little")
    return bytes(data)


OUTSIDE = "would write outside its folder"
ONLY = "only files and folders are unpacked"
HOSTILE: dict[str, tuple[str, Callable[[], bytes], str]] = {
    "tar up": ("tar.gz", lambda: tar_named("../evil"), OUTSIDE),
    "tar deep up": ("tar.gz", lambda: tar_named("set/../../evil"), OUTSIDE),
    "tar absolute": ("tar.gz", lambda: tar_named("/tmp/evil"), OUTSIDE),
    "tar drive": ("tar.gz", lambda: tar_named("C:evil"), OUTSIDE),
    "tar backslash": ("tar.gz", lambda: tar_named("..\\evil"), OUTSIDE),
    "tar twice": ("tar.gz", lambda: tar_named("set/./good"), "names 'set/./good' twice"),
    "tar file as folder": ("tar.gz", lambda: tar_named("set/good/x"), "names 'set/good/x' twice"),
    "tar symlink": ("tar.gz", lambda: tar_typed(tarfile.SYMTYPE, "/etc"), f"holds a symbolic link ('set/link'): {ONLY}"),
    "tar hard link": ("tar.gz", lambda: tar_typed(tarfile.LNKTYPE, "../../x"), f"holds a hard link ('set/link'): {ONLY}"),
    "tar device": ("tar.gz", lambda: tar_typed(tarfile.CHRTYPE), f"holds a device ('set/link'): {ONLY}"),
    "tar block device": ("tar.gz", lambda: tar_typed(tarfile.BLKTYPE), f"holds a device ('set/link'): {ONLY}"),
    "tar pipe": ("tar.gz", lambda: tar_typed(tarfile.FIFOTYPE), f"holds a pipe ('set/link'): {ONLY}"),
    "tar odd type": ("tar.gz", lambda: tar_typed(tarfile.CONTTYPE), ONLY),
    "tar sparse": ("tar.gz", tar_sparse, ONLY),
    "tar bomb": ("tar.gz", lambda: tar_of((sized("set/b", 9_000_000), bytes(9_000_000))), "unpacks to more than 8,388,608"),
    "tar of many": ("tar.gz", lambda: packed("tar.gz", {f"set/{n}": b"" for n in range(51)}), "holds more than 50 files"),
    "tar long header": ("tar.gz", tar_long_header, "has a header of more than 1,048,576 bytes"),
    "tar header chain": ("tar.gz", tar_header_chain, "is damaged"),
    "tar negative size": ("tar.gz", tar_negative, "is damaged (a size below 0)"),
    "tar with a tail": ("tar.gz", tar_with_tail, "unpacks to more than 8,597,504 bytes"),
    "tar cut off": ("tar.gz", lambda: noisy_archive()[:-9000], "is damaged"),
    "tar with a flipped byte": ("tar.gz", lambda: noisy_archive()[:70_000] + b"!!!!" + noisy_archive()[70_004:], "is damaged"),
    "tar of nothing": ("tar.gz", lambda: packed("tar.gz", {}), "holds nothing and no files in set"),
    "tar xz cut off": ("tar.xz", lambda: packed("tar.xz", {"set/a": noise(50_000)})[:-9000], "is damaged"),
    "zip up": ("zip", lambda: zip_of("../evil"), OUTSIDE),
    "zip absolute": ("zip", lambda: zip_of("/tmp/evil"), OUTSIDE),
    "zip backslash": ("zip", lambda: zip_of("..\\evil"), OUTSIDE),
    "zip symlink": ("zip", lambda: zip_of("set/link", b"/etc/passwd", stat.S_IFLNK | 0o777), "holds a symbolic link"),
    "zip device": ("zip", lambda: zip_of("set/link", b"", stat.S_IFCHR), "holds a special file"),
    "zip locked": ("zip", lambda: zip_of("set/x", flags=1), "is locked with a password"),
    "zip packed oddly": ("zip", lambda: zip_of("set/x", method=zipfile.ZIP_LZMA), "is packed in a way that is not taken"),
    "zip bomb": ("zip", lambda: zip_of("set/bomb", bytes(9_000_000)), "unpacks to more than 8,388,608 bytes"),
    "zip that says less": ("zip", lambda: zip_lying(10, 1_000_000), "is damaged"),
    "zip that says more": ("zip", lambda: zip_lying(1_000_000, 10), "has not the size it says"),
    "zip cut name": ("zip", lambda: zip_of("set/x~evil").replace(b"x~evil", b"x\0evil"), OUTSIDE),
    "zip cut off": ("zip", lambda: zip_of("set/x")[:-30], "is damaged"),
}


@pytest.mark.parametrize("which", HOSTILE)
def test_a_hostile_archive_is_refused_and_leaves_nothing(tmp_path: Path, to: Path, which: str) -> None:
    kind, make, says = HOSTILE[which]
    archive = tmp_path / "archive"
    archive.write_bytes(make())
    manifest = source_file(tmp_path, kind=kind, urls=["http://a/b"], max_gib=1 / 128, max_members=50)
    before = sorted(os.listdir(tmp_path))
    sentence = refused(to, manifest, str(archive))
    assert says in sentence and sentence.startswith(str(archive)) and sentence.endswith(": nothing was unpacked")
    assert os.listdir(to) == []
    assert sorted(os.listdir(tmp_path)) == sorted([*before, "data"])
    assert not Path("/tmp/evil").exists()


def test_a_hostile_archive_from_a_server_leaves_no_part(host: Host, tmp_path: Path, to: Path) -> None:
    host.files["/x"] = tar_named("../evil")
    assert OUTSIDE in refused(to, source_file(tmp_path, urls=[f"{host.url}/x"]))
    assert os.listdir(to) == []


def test_modes_and_owners_of_an_archive_are_not_taken(tmp_path: Path, to: Path) -> None:
    archive = tmp_path / "x.tar.gz"
    archive.write_bytes(tar_of((sized("set/run", 2, mode=0o6777, uid=0), b"#!"), (sized("set/shut", 1, mode=0), b"x")))
    fetch(source_file(tmp_path, urls=["http://a/b"]), str(to), str(archive), "", QUICK)
    modes = {path.name: stat.S_IMODE(path.stat().st_mode) for path in (to / "tunes").iterdir()}
    assert modes["run"] == modes["shut"] and not modes["run"] & 0o7111


# Browsers, and the command


def test_a_source_for_browsers_says_where_to_click_and_takes_the_file(
    tmp_path: Path, to: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    manifest = source_file(tmp_path, browser="https://example.org/get", click="the second link")
    assert main(["fetch", manifest, "--to", str(to)]) == 2
    said = capsys.readouterr().err
    assert "open https://example.org/get, take the second link, then pass --archive FILE" in said and said.count("\n") == 1
    assert main(["fetch", manifest, "--to", str(to), "--archive", str(tmp_path / "none")]) == 2
    assert "no file at" in capsys.readouterr().err and not to.exists()
    archive = tmp_path / "set.tar.gz"
    archive.write_bytes(packed("tar.gz", TUNES))
    assert main(["fetch", manifest, "--to", str(to), "--archive", str(archive)]) == 0
    said = capsys.readouterr().out
    assert "3 files" in said and "CC0" in said and hashlib.sha256(archive.read_bytes()).hexdigest() in said
    assert archive.exists() and len(tree(to / "tunes")) == 3
    assert main(["fetch", manifest, "--to", str(to)]) == 0
    assert "fetched already" in capsys.readouterr().out


def test_a_plain_file_given_as_archive_is_copied(tmp_path: Path, to: Path) -> None:
    given = tmp_path / "scores.json"
    given.write_text("{}")
    manifest = source_file(tmp_path, kind="file", inside="", urls=["http://a/b"], size=3)
    assert "has 2 bytes where 3 are expected" in refused(to, manifest, str(given)) and os.listdir(to) == []
    fetch(source_file(tmp_path, kind="file", inside="", urls=["http://a/b"]), str(to), str(given), "", QUICK)
    assert given.exists() and (to / "tunes").read_text() == "{}"


def test_an_unknown_source_is_told_the_known_ones(to: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["fetch", "nothing-of-the-sort", "--to", str(to)]) == 2
    said = capsys.readouterr().err
    assert all(name in said for name in known()) and said.count("\n") == 1


def test_what_fetch_did_not_put_there_is_not_written_over(tmp_path: Path, to: Path) -> None:
    (to / "tunes").mkdir(parents=True)
    with pytest.raises(SettingsError, match="fetch did not put it there"):
        fetch(source_file(tmp_path, urls=["http://a/b"]), str(to), "", "", QUICK)
    (to / "tunes.lock.json").write_text("{")
    with pytest.raises(SettingsError, match="cannot read"):
        fetch(source_file(tmp_path, urls=["http://a/b"]), str(to), "", "", QUICK)


def test_a_folder_that_cannot_be_written_has_its_sentence(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    archive = tmp_path / "x.tar.gz"
    archive.write_bytes(packed("tar.gz", TUNES))
    manifest = source_file(tmp_path, urls=["http://a/b"])
    assert "cannot write to" in refused(tmp_path / "file", manifest, str(archive))


def test_a_full_disk_keeps_the_part(host: Host, tmp_path: Path, to: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    host.files["/x"] = noisy_archive()
    manifest = source_file(tmp_path, urls=[f"{host.url}/x"])

    def full(*_: Any) -> None:
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patched:
        patched.setattr("pipelines.fetch.unpack._write", full)
        assert "No space left on device" in refused(to, manifest)
    assert sorted(os.listdir(to)) == ["tunes.part", "tunes.part.json"]
    fetch(manifest, str(to), "", "", QUICK)
    assert len(host.asked) == 1 and len(tree(to / "tunes")) == 2


def test_a_source_is_a_frozen_setting() -> None:
    with pytest.raises(AttributeError):
        load_source("nottingham").sha256 = ""  # type: ignore[misc]
    assert isinstance(load_source("nottingham"), Source)
