"""One file over HTTP: gone on with by Range after a drop or a kill, never mixed from two
versions of it."""

import json
import re
import sys
import threading
import time
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import requests
import urllib3

from pipelines.fetch.asking import InnerAddress, OutOfTime, Session, within
from pipelines.fetch.progress import bar
from schemas.manifest import from_json

# What has come of a chunk is lost where the line breaks in it.
CHUNK_BYTES = 1 << 14
# A try that brings at least this much of what was not there before is no failure of the
# line.
PROGRESS_BYTES = 1 << 20
ASK_AGAIN = frozenset({408, 425, 429, 500, 502, 503, 504})
# Digits of a number of bytes; more is more than there is room for anywhere
_MOST_DIGITS = 18
_CONTENT_RANGE = re.compile(r"bytes (\d+)-\d+/(\d+|\*)")


class Unreachable(Exception):
    """Why a URL does not give the file, in words that follow the URL."""


class _Dropped(Exception):
    """The same where the URL may give it when it is asked again."""


@dataclass(frozen=True)
class Manners:
    """How a URL is asked: timeout_seconds without a byte; tries in a row that bring next to
    nothing; between tries backoff_seconds, twice as long each time, at most
    max_backoff_seconds; deadline_seconds for all of it, however slowly it comes.
    """

    timeout_seconds: float = 30.0
    tries: int = 6
    backoff_seconds: float = 1.0
    max_backoff_seconds: float = 60.0
    deadline_seconds: float = 12 * 3600.0


@dataclass(frozen=True)
class Wanted:
    """What is known of a file beforehand: size in bytes, 0 if unknown; whether its hash is
    pinned; the most it may be."""

    size: int
    pinned: bool
    max_bytes: int


class Part:
    """NAME.part, the bytes that have come, and NAME.part.json, which says of what
    version of which URL they are."""

    def __init__(self, path: Path) -> None:
        self.path, self._note = path, path.with_name(f"{path.name}.json")

    def size(self) -> int:
        return self.path.stat().st_size if self.path.exists() else 0

    def note(self) -> dict[str, Any]:
        """url, validator ("" if the server gave none) and total (bytes, None if
        unknown); empty where nothing is known."""
        try:
            return dict(from_json(self._note.read_text("utf-8")))
        except (OSError, ValueError, TypeError):
            return {}

    def write_note(self, url: str, validator: str, total: int | None) -> None:
        self._note.write_text(
            json.dumps({"url": url, "validator": validator, "total": total}), "utf-8"
        )

    def remove(self) -> None:
        self.path.unlink(missing_ok=True)
        self._note.unlink(missing_ok=True)


def download(url: str, part: Part, wanted: Wanted, manners: Manners) -> None:
    """Bring the whole of a URL into `part`, from where it stands; raises Unreachable, and
    OSError where it cannot write."""
    failures, best = 0, part.size()
    end = time.monotonic() + manners.deadline_seconds
    while True:
        try:
            ask = partial(_go_on, url, part, wanted, manners)
            within(end - time.monotonic(), ask)
            return
        except OutOfTime as error:
            hours = manners.deadline_seconds / 3600
            raise Unreachable(f"has not given the file within {hours:.3g} hours") from error
        except _Dropped as dropped:
            failures = 1 if part.size() - best >= PROGRESS_BYTES else failures + 1
            best = max(best, part.size())
            if failures >= manners.tries:
                if not part.size():
                    part.remove()
                raise Unreachable(f"{dropped}, {failures} times in a row") from dropped
            pause = min(
                manners.backoff_seconds * 2 ** (failures - 1), manners.max_backoff_seconds
            )
            print(f"{url} {dropped}: asked again in {pause:g} s", file=sys.stderr)
            time.sleep(pause)


def _go_on(
    url: str, part: Part, wanted: Wanted, manners: Manners, over: threading.Event
) -> None:
    note = part.note()
    start = part.size() if _may_go_on(note, url, wanted) else 0
    if start and start == note["total"]:
        return
    headers = {"Accept-Encoding": "identity", "User-Agent": "moodroll-data"}
    if start:
        headers |= {"Range": f"bytes={start}-"} | (
            {"If-Range": note["validator"]} if note["validator"] else {}
        )
    try:
        with (
            Session(url) as session,
            session.get(
                url, headers=headers, stream=True, timeout=manners.timeout_seconds
            ) as response,
        ):
            _take(response, url, part, start, wanted, over)
    except InnerAddress as error:
        raise Unreachable(
            "leads to an address of this machine or its network, which is not followed"
        ) from error
    except requests.TooManyRedirects as error:
        raise Unreachable("redirects without end") from error
    except (
        requests.exceptions.InvalidSchema,
        requests.exceptions.InvalidURL,
        requests.exceptions.MissingSchema,
    ) as error:
        raise Unreachable("leads to an address that is not http or https") from error
    except (requests.Timeout, urllib3.exceptions.TimeoutError) as error:
        raise _Dropped(f"sends nothing for {manners.timeout_seconds:g} s") from error
    except requests.RequestException as error:
        raise _Dropped("cannot be reached") from error
    except urllib3.exceptions.HTTPError as error:
        raise _Dropped(f"breaks off after {part.size():,} bytes") from error


def _may_go_on(note: dict[str, Any], url: str, wanted: Wanted) -> bool:
    """Whether what is there can be told from another version: by the server's validator,
    or by the hash at the end."""
    return bool(note) and (
        wanted.pinned or (note["url"] == url and bool(note["validator"]))
    )


def _take(
    response: requests.Response,
    url: str,
    part: Part,
    start: int,
    wanted: Wanted,
    over: threading.Event,
) -> None:
    """Write what an answer brings, from `start` if it goes on there and from 0 if it begins
    again."""
    _refuse_status(response, part, start)
    start, total = _span(response, part, start)
    if total is not None and total > wanted.max_bytes:
        part.remove()
        raise Unreachable(
            f"gives {total:,} bytes, more than the {wanted.max_bytes:,} that are taken (max_gib)"
        )
    if wanted.size and total not in (None, wanted.size):
        part.remove()
        raise Unreachable(
            f"gives {total:,} bytes where {wanted.size:,} are expected: it is another version"
        )
    if not start:
        part.write_note(url, _validator(response), total)
    most = total or wanted.size or wanted.max_bytes
    come = _write(response, part, start, total, most, over)
    expected = total or wanted.size
    if come < expected:
        raise _Dropped(f"breaks off after {come:,} of {expected:,} bytes")
    part.write_note(url, part.note()["validator"], come)


def _refuse_status(response: requests.Response, part: Part, start: int) -> None:
    status = response.status_code
    if status in ASK_AGAIN:
        raise _Dropped(f"answers {status} ({response.reason})")
    if status == 416:
        part.remove()
        raise _Dropped("does not go on where it broke off")
    if status in (401, 403):
        raise Unreachable(f"asks for a login or refuses ({status})")
    if status in (404, 410):
        raise Unreachable(f"is not there ({status})")
    if status != 200 and not (status == 206 and start):
        raise Unreachable(f"answers {status} ({response.reason})")
    if (
        response.headers.get("Content-Type", "")
        .lower()
        .startswith(("text/html", "application/xhtml"))
    ):
        raise Unreachable("gives a web page instead of the file")


def _span(response: requests.Response, part: Part, start: int) -> tuple[int, int | None]:
    """Where an answer begins, and how many bytes the whole file has, None if it does not
    say."""
    if (
        response.status_code == 200
    ):  # Range ignored, or the file has changed: all of it comes again
        length = response.headers.get("Content-Length", "")
        return 0, _bytes(length) if length.isdecimal() else None
    found = _CONTENT_RANGE.fullmatch(response.headers.get("Content-Range", ""))
    if not found or _bytes(found[1]) != start:
        part.remove()
        raise _Dropped("goes on at another place than it was asked to")
    return start, None if found[2] == "*" else _bytes(found[2])


def _bytes(digits: str) -> int:
    """A number of bytes as a server says it, but for one that nobody could have."""
    return int(digits) if len(digits) <= _MOST_DIGITS else 10**_MOST_DIGITS


def _validator(response: requests.Response) -> str:
    """What tells this version of the file from others, fit for If-Range (RFC 9110,
    13.1.5): no weak ETag."""
    etag = str(response.headers.get("ETag", ""))
    return etag if etag.startswith('"') else str(response.headers.get("Last-Modified", ""))


def _write(
    response: requests.Response,
    part: Part,
    start: int,
    total: int | None,
    most: int,
    over: threading.Event,
) -> int:
    """The size of the part once the answer has ended; raises Unreachable past `most`
    bytes."""
    part.path.touch()
    with (
        part.path.open("r+b") as out,
        bar(f"download {part.path.stem}", total, start) as shown,
    ):
        out.seek(start)
        out.truncate()
        # The bytes as they were sent: a server that calls .tar.gz a gzip encoding would see
        # it unpacked.
        for chunk in response.raw.stream(CHUNK_BYTES, decode_content=False):
            if over.is_set():
                raise OutOfTime
            start += len(chunk)
            if start > most:
                part.remove()
                raise Unreachable(f"gives more than {most:,} bytes")
            out.write(chunk)
            shown.update(len(chunk))
    return start
