"""A server of this machine that misbehaves, and a desk with all that a fetch needs."""

import hashlib
import io
import json
import tarfile
import threading
import time
import zipfile
from collections.abc import Iterator
from contextlib import suppress
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import pytest

from pipelines.fetch.download import Manners
from pipelines.fetch.fetch import Fetched, fetch
from pipelines.fetch.pins import Source
from schemas.reject import BuildFailed

SLOW_SECONDS = 0.6


class Host:
    """A server that knows Range, If-Range and ETag (RFC 9110), and what it has been asked.

    tricks: how the next requests are answered, one each, None for the truth; always: how
    the ones after them are. A trick is a status, a pair (status, headers), or a word: `cut`
    closes after `cut_bytes`, `deaf` ignores Range, `slow` waits, `page` answers with a web
    page, `elsewhere` goes on at another byte, `chunked` does not say the length, `blind`
    does not say it either and closes after `cut_bytes`.
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
                return self.send(
                    200,
                    {"Content-Type": "text/html; charset=utf-8"},
                    b"<html>Sign in</html>",
                )
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

        def send(
            self,
            status: int,
            headers: dict[str, str],
            data: bytes,
            cut: int | None = None,
            silent: bool = False,
        ) -> None:
            self.send_response(status)
            for name, value in (
                headers.items()
                if silent
                else ({"Content-Length": str(len(data))} | headers).items()
            ):
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


class Desk:
    """A folder to fetch `to`, manifests of a source called tunes, and archives that it
    may have."""

    TUNES: ClassVar = {
        "set/a.mid": b"MThd tune a" * 999,
        "set/deep/b.mid": b"MThd tune b",
        "set/empty.txt": b"",
    }

    def __init__(self, folder: Path) -> None:
        self.folder, self.to = folder, folder / "data"

    def manifest(self, **fields: Any) -> str:
        """Write a manifest with some fields of its own; its path."""
        whole = {
            "name": "tunes", "title": "some tunes", "holds": "tunes", "licence": "CC0", "citation": "nobody: nothing, 2026",
            "kind": "tar.gz", "path": "tunes", "inside": "set",
        } | fields  # fmt: skip
        path = self.folder / "tunes.toml"
        path.write_text(
            "".join(f"{key} = {json.dumps(value)}\n" for key, value in whole.items())
        )
        return str(path)

    def fetch(
        self, manifest: str, archive: str = "", url: str = "", tries: int = 4
    ) -> tuple[Source, Fetched, bool]:
        """Fetch without patience."""
        return fetch(
            manifest,
            str(self.to),
            archive,
            url,
            Manners(timeout_seconds=0.4, tries=tries, backoff_seconds=0.01),
        )

    def refused(self, manifest: str, archive: str = "", url: str = "") -> str:
        """The one sentence with which a fetch is refused."""
        with pytest.raises(BuildFailed) as error:
            self.fetch(manifest, archive, url)
        assert "\n" not in str(error.value)
        return str(error.value)

    @staticmethod
    def packed(kind: str, members: dict[str, bytes]) -> bytes:
        """An archive of plain files."""
        out = io.BytesIO()
        if kind == "zip":
            with zipfile.ZipFile(out, "w", zipfile.ZIP_DEFLATED) as archive:
                for name, data in members.items():
                    archive.writestr(name, data)
            return out.getvalue()
        with tarfile.open(fileobj=out, mode=f"w:{kind.removeprefix('tar.')}") as tar:
            for name, data in members.items():
                info = tarfile.TarInfo(name)
                info.size = len(data)
                tar.addfile(info, io.BytesIO(data))
        return out.getvalue()

    @staticmethod
    def noise(n_bytes: int, seed: int = 0) -> bytes:
        """Bytes that no packer makes smaller."""
        return np.random.default_rng(seed).bytes(n_bytes)

    def noisy(self, seed: int = 0) -> bytes:
        """An archive of noise."""
        return self.packed(
            "tar.gz",
            {
                "set/noise": self.noise(100_000, seed),
                "set/more": self.noise(50_000, seed + 1),
            },
        )

    @staticmethod
    def tree(folder: Path) -> dict[str, bytes]:
        """The files below a folder."""
        paths = [path for path in sorted(folder.rglob("*")) if path.is_file()]
        return {path.relative_to(folder).as_posix(): path.read_bytes() for path in paths}


@pytest.fixture
def desk(tmp_path: Path) -> Desk:
    """What a fetch needs."""
    return Desk(tmp_path)
