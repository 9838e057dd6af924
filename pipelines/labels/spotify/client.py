"""Spotify's Web API as far as freezing labels needs it: search, audio features, and good
manners.

Spotify closed audio features to new apps on 27 November 2024; an app that may still use
them needs SPOTIPY_CLIENT_ID and SPOTIPY_CLIENT_SECRET in the environment. Neither they nor
the tokens made from them are logged or written.
"""

import logging
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any
from urllib.parse import parse_qs, urlsplit

import requests
import spotipy

FROZEN_TABLE = "use a frozen label table instead: [affect] labels"
GO_ON = "run again to go on from here"
MAX_IDS = 100


class SpotifyError(Exception):
    """Why Spotify can give no more, in one sentence with what to do; what was fetched
    before is kept."""


class _BadAnswer(Exception):
    """An answer that is not what was asked for; asked again before it is given up."""


@dataclass(frozen=True)
class Manners:
    """How a request is made: timeout_seconds to wait for an answer; tries in all; between
    tries backoff_seconds, twice as long each time; max_wait_seconds: longest wait that
    Spotify may ask for; budget: requests in all, tries counted.
    """

    timeout_seconds: float = 10.0
    tries: int = 6
    backoff_seconds: float = 1.0
    max_wait_seconds: float = 120.0
    budget: int = 200_000


@dataclass(frozen=True)
class Found:
    """A track that a search found."""

    spotify_id: str
    title: str
    artists: tuple[str, ...]
    release: str
    seconds: float


class SpotifyApi:
    """Spotify behind Manners: every call gives a checked answer or raises SpotifyError."""

    def __init__(
        self,
        manners: Manners,
        sleep: Callable[[float], None] = time.sleep,
        api_url: str = "https://api.spotify.com/v1/",
        token_url: str = "https://accounts.spotify.com/api/token",
    ) -> None:
        # The library writes headers, and with them the token and the secret, to its debug
        # log.
        logging.getLogger("spotipy").setLevel(logging.CRITICAL + 1)
        try:
            # In memory: the library's default leaves the token in a file of the working
            # directory.
            credentials = spotipy.SpotifyClientCredentials(
                requests_timeout=manners.timeout_seconds,
                cache_handler=spotipy.MemoryCacheHandler(),
            )
        except spotipy.SpotifyOauthError as error:
            raise SpotifyError(
                f"no Spotify credentials: set SPOTIPY_CLIENT_ID and SPOTIPY_CLIENT_SECRET, or {FROZEN_TABLE}"
            ) from error
        credentials.OAUTH_TOKEN_URL = token_url
        # A session of our own: the library's retries unseen, and takes every failure for a
        # 429.
        self.client = spotipy.Spotify(
            auth_manager=credentials,
            requests_timeout=manners.timeout_seconds,
            requests_session=requests.Session(),
        )
        self.client.prefix = api_url
        self.manners, self.sleep, self.spent = manners, sleep, 0

    def search(self, query: str, limit: int) -> list[Found]:
        """The tracks that Spotify finds for a query, in its order."""
        return self._ask(
            lambda: _found(self.client.search(query, limit=limit, type="track"), query)
        )

    def features(self, ids: Sequence[str]) -> dict[str, tuple[float, float] | None]:
        """Valence and energy of each of at most MAX_IDS ids, None where Spotify has none or
        gives no such numbers."""
        # The library's own method fails on an empty answer, and warns at every call that
        # Spotify closed this one.
        return self._ask(
            lambda: _features(self.client._get("audio-features", ids=",".join(ids)), ids)
        )

    def _ask(self, call: Callable[[], Any]) -> Any:
        said = ""
        for attempt in range(self.manners.tries):
            if self.spent >= self.manners.budget:
                raise SpotifyError(
                    f"the budget of {self.manners.budget} requests is spent: {GO_ON}"
                )
            self.spent += 1
            wait = self.manners.backoff_seconds * 2**attempt
            try:
                self._have_token()
                return call()
            except spotipy.SpotifyException as error:
                said = f"status {error.http_status}"
                wait = self._wait_of(error, wait)
            except spotipy.SpotifyOauthError as error:
                said = f"no token: {' '.join(str(error.error or 'refused').split())[:60]}"
                if error.error in (
                    "invalid_client",
                    "unauthorized_client",
                    "invalid_request",
                ):
                    raise SpotifyError(
                        "Spotify does not know these credentials: correct SPOTIPY_CLIENT_ID and SPOTIPY_CLIENT_SECRET"
                    ) from None
            except (requests.RequestException, _BadAnswer) as error:
                said = str(error) if isinstance(error, _BadAnswer) else type(error).__name__
            if attempt + 1 < self.manners.tries:
                self.sleep(wait)
        raise SpotifyError(
            f"Spotify failed {self.manners.tries} times, last with {said}: {GO_ON}"
        )

    def _have_token(self) -> None:
        """Let the library ask for a token where it has none that is valid; it takes an
        answer's form for granted."""
        try:
            self.client.auth_manager.get_access_token(as_dict=False)
        except (LookupError, TypeError) as error:
            raise _BadAnswer("a token of another form") from error

    def _wait_of(self, error: spotipy.SpotifyException, usual: float) -> float:
        """Seconds to wait before asking again; raises SpotifyError where asking again is
        no use."""
        status = error.http_status
        if status == 401:
            raise SpotifyError(
                "Spotify refuses the token (401): check that the app is still registered"
            ) from None
        if status in (403, 404, 410):
            raise SpotifyError(
                f"Spotify refuses this request ({status}): audio features are closed to new apps since November 2024, "
                + FROZEN_TABLE
            ) from None
        if status != 429 and status < 500:
            raise SpotifyError(
                f"Spotify calls the request wrong ({status}): report it with the query"
            ) from None
        asked = str(error.headers.get("Retry-After", ""))
        wait = max(float(asked), usual) if asked.isascii() and asked.isdigit() else usual
        if wait > self.manners.max_wait_seconds:
            raise SpotifyError(
                f"Spotify asks to wait {wait:.0f} seconds: after that, {GO_ON}"
            ) from None
        return wait


def _found(answer: Any, query: str) -> list[Found]:
    try:
        # The answer repeats what it answers; that of another query is of no use.
        echo = parse_qs(urlsplit(answer["tracks"].get("href") or "").query)
        if (echo.get("query") or echo.get("q") or [query])[0] != query:
            raise _BadAnswer("an answer to another search")
        return [
            Found(
                _text(item["id"]), _text(item["name"]), tuple(_text(artist["name"]) for artist in item["artists"]),
                _text(item["album"]["name"]), float(item["duration_ms"]) / 1000,
            )
            for item in answer["tracks"]["items"]
            if item is not None
        ]  # fmt: skip
    except (TypeError, LookupError, ValueError, AttributeError) as error:
        raise _BadAnswer("a search answer of another form") from error


def _features(answer: Any, ids: Sequence[str]) -> dict[str, tuple[float, float] | None]:
    """Read by the id that stands with the values, never by place: an answer may be late,
    short or another's."""
    items = answer.get("audio_features") if isinstance(answer, dict) else None
    if not isinstance(items, list):
        raise _BadAnswer("a features answer of another form")
    by_id = {
        item["id"]: item
        for item in items
        if isinstance(item, dict) and isinstance(item.get("id"), str)
    }
    if len(items) != len(ids) or not set(by_id) <= set(ids):
        raise _BadAnswer("features of other tracks")
    values = {
        name: (_share(item.get("valence")), _share(item.get("energy")))
        for name, item in by_id.items()
    }
    return {name: _both(values.get(name, (None, None))) for name in ids}


def _both(pair: tuple[float | None, float | None]) -> tuple[float, float] | None:
    valence, energy = pair
    return None if valence is None or energy is None else (valence, energy)


def _share(value: Any) -> float | None:
    """A number in [0, 1], else None; True is no number."""
    return float(value) if type(value) in (int, float) and 0 <= value <= 1 else None


def _text(value: Any) -> str:
    if not isinstance(value, str):
        raise TypeError(f"not a string: {value!r}")
    return value
