"""A server that speaks Spotify's form on this machine, and misbehaves where it is told
to."""

import json
import threading
import time
from collections.abc import Iterator
from contextlib import suppress
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qs, quote, urlsplit

import pytest

SLOW_SECONDS = 0.6


class FakeSpotify:
    """tracks: (title, artists, release, seconds) by id; values: (valence, energy) by id.

    tricks: how the next requests are answered, one each, None for the truth; always: how
    the ones after them are. A trick is a status with headers, bytes or JSON for a body, or
    one of the words half, cut, slow and stale. tokens: what the next requests for a token
    get instead of one.
    """

    secret, token = "secret-of-the-app", "token-made-from-it"

    def __init__(self, url: str) -> None:
        self.url = url
        self.tracks: dict[str, tuple[str, list[str], str, float]] = {}
        self.values: dict[str, tuple[Any, Any]] = {}
        self.tricks: list[Any] = []
        self.tokens: list[bytes] = []
        self.always: Any = None
        self.asked: list[str] = []
        self.last: dict[str, bytes] = {}

    def reply(self, target: str) -> tuple[int, dict[str, str], bytes]:
        self.asked.append(target)
        parts = urlsplit(target)
        kind = parts.path.rsplit("/", 1)[-1]
        before = self.last.get(kind, b"{}")
        trick = self.tricks.pop(0) if self.tricks else self.always
        if trick == "slow":
            time.sleep(SLOW_SECONDS)
        query = {name: values[0] for name, values in parse_qs(parts.query).items()}
        truth = json.dumps(
            self.search(query["q"]) if kind == "search" else self.features(query["ids"])
        ).encode()
        if trick in (None, "slow"):
            self.last[kind] = truth
            return 200, {}, truth
        if trick == "stale":
            return 200, {}, before
        if trick in ("half", "cut"):
            # Half the answer, its length said to be that of the whole or of what is there.
            return (
                200,
                {"Content-Length": str(len(truth))} if trick == "half" else {},
                truth[: len(truth) // 2],
            )
        if isinstance(trick, int | tuple):
            status, headers = trick if isinstance(trick, tuple) else (trick, {})
            return (
                status,
                headers,
                json.dumps({"error": {"status": status, "message": "no"}}).encode(),
            )
        return 200, {}, trick if isinstance(trick, bytes) else json.dumps(trick).encode()

    def search(self, query: str) -> dict[str, Any]:
        items = [
            {"id": name, "name": title, "artists": [{"name": artist} for artist in artists], "album": {"name": release},
             "duration_ms": int(seconds * 1000)}
            for name, (title, artists, release, seconds) in self.tracks.items() if title.lower() in query.lower()
        ]  # fmt: skip
        return {
            "tracks": {
                "href": f"{self.url}/v1/search?query={quote(query)}&type=track",
                "items": items,
            }
        }

    def features(self, ids: str) -> dict[str, Any]:
        found = [(name, self.values.get(name)) for name in ids.split(",")]
        items = [
            {"id": name, "valence": pair[0], "energy": pair[1]} if pair else None
            for name, pair in found
        ]
        return {"audio_features": items}


@pytest.fixture
def fake_spotify(monkeypatch: pytest.MonkeyPatch) -> Iterator[FakeSpotify]:
    """The server, running, with credentials for it in the environment."""
    monkeypatch.setenv("SPOTIPY_CLIENT_ID", "app")
    monkeypatch.setenv("SPOTIPY_CLIENT_SECRET", FakeSpotify.secret)
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")

    class Handler(BaseHTTPRequestHandler):
        # Written at once: headers and body apart wait for each other's acknowledgement.
        wbufsize = -1

        def do_GET(self) -> None:
            self.send(*fake.reply(self.path))

        def do_POST(self) -> None:
            self.rfile.read(int(self.headers["Content-Length"]))
            token = {
                "access_token": FakeSpotify.token,
                "token_type": "Bearer",
                "expires_in": 3600,
            }
            self.send(
                200, {}, fake.tokens.pop(0) if fake.tokens else json.dumps(token).encode()
            )

        def send(self, status: int, headers: dict[str, str], data: bytes) -> None:
            self.send_response(status)
            for name, value in ({"Content-Length": str(len(data))} | headers).items():
                self.send_header(name, value)
            self.end_headers()
            self.wfile.write(data)

        def finish(self) -> None:
            # The client of a slow answer has stopped waiting, as the test wants.
            with suppress(ConnectionError):
                super().finish()

        def log_message(self, *_: Any) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    fake = FakeSpotify(f"http://127.0.0.1:{server.server_port}")
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    yield fake
    server.shutdown()
    thread.join()
    server.server_close()
