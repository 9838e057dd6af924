"""Files: local paths and whatever Beam's filesystems open, written whole or not at all.

Beam is imported where a path has a scheme (`s3://…`), and not before: local files need none
of it.
"""

import os
import re
import secrets
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Any

from schemas.contracts import FileInfo

PART = ".part-"
_SCHEME = re.compile(r"[a-zA-Z][-a-zA-Z0-9+.]*://")


def is_local(path: str) -> bool:
    """Whether a path is this machine's own, without a scheme."""
    return _SCHEME.match(path) is None


def join(folder: str, *names: str) -> str:
    """A path below a folder, local or not."""
    if not names:
        return folder
    if is_local(folder):
        return os.path.join(folder, *names)
    return str(_filesystems().join(folder, *names))


def _filesystems() -> Any:
    """Beam's door to remote files."""
    from apache_beam.io.filesystems import FileSystems

    return FileSystems


class BeamFiles:
    """schemas.contracts.Files over local folders and every scheme that Beam knows."""

    def walk(self, root: str) -> list[FileInfo]:
        """Everything below root, sorted; a directory that bears a file's ending counts
        as a thing that is not a file."""
        found = _walk_local(Path(root)) if is_local(root) else _walk_remote(root)
        return sorted(found, key=lambda info: info.path)

    def read(self, root: str, path: str) -> bytes:
        """The bytes of one file, as they are: nothing is decompressed on the way."""
        return read_bytes(join(root, path) if root else path)


def _walk_local(root: Path) -> Iterator[FileInfo]:
    def fail(error: OSError) -> None:
        # os.walk alone would pass over a folder that it may not read, and whatever is in
        # it.
        raise error

    seen: set[str] = set()
    for folder, folders, names in os.walk(root, onerror=fail, followlinks=True):
        below = Path(folder).relative_to(root)
        real = os.path.realpath(folder)
        if real in seen:  # a link back up, or a second way to the same folder
            folders.clear()
            continue
        seen.add(real)
        for name in names:
            path = Path(folder) / name
            size = path.stat().st_size if path.is_file() else None
            yield FileInfo((below / name).as_posix(), size)
        for name in folders:
            if Path(name).suffix:
                yield FileInfo((below / name).as_posix(), None)


def _walk_remote(root: str) -> Iterator[FileInfo]:
    prefix = root.rstrip("/") + "/"
    for found in _filesystems().match([prefix + "**"])[0].metadata_list:
        yield FileInfo(found.path[len(prefix) :], found.size_in_bytes)


def read_bytes(path: str) -> bytes:
    """The bytes of one file; raises OSError."""
    with open_input(path) as stream:
        return stream.read()


def open_input(path: str) -> IO[bytes]:
    """A seekable stream of a file's bytes."""
    if is_local(path):
        return Path(path).open("rb")
    return _open_remote(path)


def _open_remote(path: str) -> IO[bytes]:
    from apache_beam.io.filesystem import CompressionTypes

    stream: IO[bytes] = _filesystems().open(
        path, compression_type=CompressionTypes.UNCOMPRESSED
    )
    return stream


@contextmanager
def atomic(path: str) -> Iterator[IO[bytes]]:
    """A stream whose bytes stand under `path` once the block ends well, and nowhere if it
    does not.

    The temporary name is the writer's own, so that two workers on one shard cannot mix
    their bytes.
    """
    temporary = f"{path}{PART}{os.getpid()}-{secrets.token_hex(4)}"
    stream = _create(temporary)
    try:
        with stream:
            yield stream
        _rename(temporary, path)
    except BaseException:
        remove(temporary)
        raise


def _create(path: str) -> IO[bytes]:
    if is_local(path):
        Path(path).parent.mkdir(parents=True, exist_ok=True)
        return Path(path).open("wb")
    from apache_beam.io.filesystem import CompressionTypes

    kind = "application/octet-stream"
    stream: IO[bytes] = _filesystems().create(path, kind, CompressionTypes.UNCOMPRESSED)
    return stream


def _rename(path: str, to: str) -> None:
    if is_local(path):
        os.replace(path, to)
    else:
        _filesystems().rename([path], [to])


def write_text(path: str, text: str) -> None:
    """A small text file, whole or not at all."""
    with atomic(path) as stream:
        stream.write(text.encode())


def make_folder(path: str) -> None:
    """A folder and its parents, where there is not one yet."""
    if is_local(path):
        Path(path).mkdir(parents=True, exist_ok=True)
    elif not _filesystems().exists(path):
        _filesystems().mkdirs(path)


def exists(path: str) -> bool:
    """Whether something stands under a path."""
    if is_local(path):
        return Path(path).exists()
    return bool(_filesystems().exists(path))


def modified(path: str) -> float | None:
    """When a local file was last written, seconds; None where it is not there, or not local."""
    try:
        return os.stat(path).st_mtime if is_local(path) else None
    except OSError:
        return None


def remove(path: str) -> None:
    """Take a file away if it is there."""
    if is_local(path):
        Path(path).unlink(missing_ok=True)
    elif exists(path):
        _filesystems().delete([path])


def remove_where(folder: str, unwanted: Callable[[str], bool]) -> None:
    """Take away the files below a folder whose relative path is unwanted."""
    for info in BeamFiles().walk(folder) if exists(folder) else []:
        if info.n_bytes is not None and unwanted(info.path):
            remove(join(folder, info.path))
