"""fetch: a source of manifests/sources into a folder, the same bytes every time or not
at all."""

import hashlib
import os
import shutil
from dataclasses import asdict, dataclass
from pathlib import Path

from pipelines.fetch.download import Manners, Part, Unreachable, Wanted, download
from pipelines.fetch.pins import Source, load_source
from pipelines.fetch.unpack import BadArchive, Bounds, unpack
from schemas.manifest import from_json, to_json
from schemas.reject import BuildFailed
from schemas.settings import SettingsError, build

MAGIC = {
    "zip": (b"PK\x03\x04", b"PK\x05\x06"),
    "tar.gz": (b"\x1f\x8b",),
    "tar.xz": (b"\xfd7zXZ\0",),
}


@dataclass(frozen=True)
class Fetched:
    """DIR/SOURCE.lock.json: what was fetched, its observed hash and size, where it
    stands below DIR, and how much it is."""

    source: str
    sha256: str
    size: int
    path: str
    files: int
    unpacked_bytes: int


def fetch(
    name: str, to: str, archive: str, url: str, manners: Manners
) -> tuple[Source, Fetched, bool]:
    """Fetch a source, by name or TOML file, into the folder `to`: the source, what is there
    now, whether it was before.

    archive: a file that a person has downloaded, "" to download; url: an address to take in
    place of the manifest's, "". Raises SettingsError for a source or an argument that
    cannot be used, BuildFailed for what cannot be had or is refused.
    """
    source, folder = load_source(name), Path(to)
    before = read_lock(folder, source)
    there = (folder / source.path).exists()
    if before and there:
        _check_still_there(folder, source, before)
        return source, before, True
    if there:
        raise SettingsError(
            f"{folder / source.path} is there and fetch did not put it there: choose another --to or move it"
        )
    if archive and not Path(archive).is_file():
        raise SettingsError(f"no file at {archive}: pass the downloaded file as --archive")
    if not (archive or url or source.urls):
        click = f", take {source.click}" if source.click else ""
        raise SettingsError(
            f"{source.title} needs a browser: open {source.browser}{click}, then pass --archive FILE"
        )
    try:
        folder.mkdir(parents=True, exist_ok=True)
        if archive:
            return (
                source,
                _settle(Path(archive), archive, source, folder, before, keep=True),
                False,
            )
        return (
            source,
            _download_and_settle(
                (url,) if url else source.urls, source, folder, before, manners
            ),
            False,
        )
    except OSError as error:
        raise BuildFailed(
            f"cannot write to {to} ({error.strerror or error}): mend that and run it again"
        ) from error


def _download_and_settle(
    urls: tuple[str, ...],
    source: Source,
    folder: Path,
    before: Fetched | None,
    manners: Manners,
) -> Fetched:
    part = Part(folder / f"{source.name}.part")
    wanted = Wanted(source.size, bool(source.sha256 or before), source.max_bytes)
    failures = []
    for url in urls:
        try:
            download(url, part, wanted, manners)
        except Unreachable as error:
            failures.append(f"{url} {error}")
            continue
        try:
            fetched = _settle(part.path, url, source, folder, before, keep=False)
        except BuildFailed:
            part.remove()
            raise
        part.remove()
        return fetched
    again = (
        f"run it again to go on after {part.size():,} bytes"
        if part.size()
        else "try again later"
    )
    raise BuildFailed(f"{'; '.join(failures)}: {again}, or pass --url or --archive")


def _settle(
    got: Path, origin: str, source: Source, folder: Path, before: Fetched | None, keep: bool
) -> Fetched:
    """Verify a file that has come, unpack it beside its place, note its hash, and move
    it there."""
    sha256, size = _verify(got, origin, source, folder, before)
    unpacking = folder / f"{source.name}.unpacking"
    _remove(unpacking)
    try:
        if source.kind == "file":
            (shutil.copyfile if keep else os.replace)(got, unpacking)
        else:
            unpack(
                got, source.kind, unpacking, Bounds(source.max_bytes, source.max_members)
            )
        chosen = unpacking / source.inside if source.inside else unpacking
        files, n_bytes = _count(chosen)
        if not files:
            there = (
                ", ".join(sorted(path.name for path in unpacking.iterdir())[:5])
                or "nothing"
            )
            raise BadArchive(
                f"holds {there} and no files in {source.inside or 'it'}: it is another archive"
            )
        fetched = Fetched(source.name, sha256, size, source.path, files, n_bytes)
        (folder / source.path).parent.mkdir(parents=True, exist_ok=True)
        _write_lock(folder, fetched)
        os.rename(chosen, folder / source.path)
        return fetched
    except BadArchive as error:
        raise BuildFailed(f"{origin} {error}: nothing was unpacked") from error
    finally:
        _remove(unpacking)


def _verify(
    got: Path, origin: str, source: Source, folder: Path, before: Fetched | None
) -> tuple[str, int]:
    """Hash and size of a file that has come; raises BuildFailed where it is not the one
    that is wanted."""
    size = got.stat().st_size
    with got.open("rb") as stream:
        head = stream.read(512)
        stream.seek(0)
        sha256 = hashlib.file_digest(stream, "sha256").hexdigest()
    if head.lstrip().lower().startswith((b"<!doctype html", b"<html")):
        raise BuildFailed(
            f"{origin} is a web page instead of {source.title}: open it in a browser and see what it asks"
        )
    if source.kind in MAGIC and not head.startswith(MAGIC[source.kind]):
        raise BuildFailed(
            f"{origin} is not a {source.kind} archive: it is not {source.title}"
        )
    if source.size and size != source.size:
        raise BuildFailed(
            f"{origin} has {size:,} bytes where {source.size:,} are expected: it is cut off or another version"
        )
    if source.sha256 and sha256 != source.sha256:
        raise BuildFailed(
            f"{origin} has sha256 {sha256} where {source.sha256} is pinned: it is not the file that was published"
        )
    if before and sha256 != before.sha256:
        raise BuildFailed(
            f"{origin} has sha256 {sha256}, on first use it had {before.sha256}: it has changed, "
            f"take it into another --to if that is right"
        )
    return sha256, size


def _check_still_there(folder: Path, source: Source, before: Fetched) -> None:
    place = folder / source.path
    if source.sha256 and before.sha256 != source.sha256:
        raise BuildFailed(
            f"{place} was fetched with sha256 {before.sha256}, {source.sha256} is pinned now: choose another --to"
        )
    files, n_bytes = _count(place)
    if (files, n_bytes) != (before.files, before.unpacked_bytes):
        raise BuildFailed(
            f"{place} has {files:,} files of {n_bytes:,} bytes, {before.files:,} of {before.unpacked_bytes:,} were fetched: "
            f"move it away to fetch it again"
        )


def _count(path: Path) -> tuple[int, int]:
    """Files and their bytes at or below a path."""
    if path.is_file():
        return 1, path.stat().st_size
    sizes = [
        os.lstat(os.path.join(folder, name)).st_size
        for folder, _, names in os.walk(path)
        for name in names
    ]
    return len(sizes), sum(sizes)


def _remove(path: Path) -> None:
    if path.is_dir():
        shutil.rmtree(path)
    else:
        path.unlink(missing_ok=True)


def _lock_path(folder: Path, source: str) -> Path:
    return folder / f"{source}.lock.json"


def read_lock(folder: Path, source: Source) -> Fetched | None:
    """What an earlier fetch of this source into `folder` noted, None if there was none;
    raises SettingsError if unreadable."""
    path = _lock_path(folder, source.name)
    try:
        return build(Fetched, from_json(path.read_text("utf-8")))
    except (FileNotFoundError, NotADirectoryError):
        return None
    except (OSError, ValueError) as error:
        raise SettingsError(
            f"cannot read {path} ({error}): remove it to fetch as for the first time"
        ) from error


def _write_lock(folder: Path, fetched: Fetched) -> None:
    path = _lock_path(folder, fetched.source)
    temporary = path.with_name(f"{path.name}.part")
    temporary.write_text(to_json(asdict(fetched)), "utf-8")
    os.replace(temporary, path)


def fetched_text(source: Source, fetched: Fetched, to: str, was_there: bool) -> str:
    """What a person wants to know after a fetch: where it stands, which bytes, and on what
    terms."""
    seen = (
        "as pinned"
        if source.sha256
        else f"no pin is known: noted in {_lock_path(Path(to), source.name)}"
    )
    return "\n".join([
        f"{Path(to, source.path)}: {fetched.files:,} files, {fetched.unpacked_bytes:,} bytes"
        f"{', fetched already' if was_there else ''}",
        f"holds     {source.holds}",
        f"sha256    {fetched.sha256} ({seen})",
        f"licence   {source.licence_text}",
        f"cite      {source.citation_text}",
    ])  # fmt: skip
