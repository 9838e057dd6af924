"""Files: local paths and whatever Beam's filesystems open, written whole or not at all."""

import os
import secrets
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO

from apache_beam.io.filesystem import CompressionTypes
from apache_beam.io.filesystems import FileSystems

from schemas.contracts import FileInfo

PART = ".part-"


def is_local(path: str) -> bool:
    """Whether a path is this machine's own, without a scheme."""
    return FileSystems.get_scheme(path) is None


def join(folder: str, *names: str) -> str:
    """A path below a folder, local or not."""
    return FileSystems.join(folder, *names) if names else folder


class BeamFiles:
    """schemas.contracts.Files over local folders and every scheme that Beam knows."""

    def walk(self, root: str) -> list[FileInfo]:
        """Everything below root, sorted; a directory that bears a file's ending counts as a
        thing that is not a file."""
        if is_local(root):
            return sorted(_walk_local(Path(root)), key=lambda info: info.path)
        prefix = root.rstrip("/") + "/"
        found = FileSystems.match([prefix + "**"])[0].metadata_list
        return sorted(
            (FileInfo(one.path[len(prefix) :], one.size_in_bytes) for one in found),
            key=lambda info: info.path,
        )

    def read(self, root: str, path: str) -> bytes:
        """The bytes of one file, as they are: nothing is decompressed on the way."""
        return read_bytes(join(root, path) if root else path)


def _walk_local(root: Path) -> Iterator[FileInfo]:
    def fail(error: OSError) -> None:
        # os.walk alone would pass over a folder that it may not read, and whatever is in it.
        raise error

    seen: set[str] = set()
    for folder, folders, names in os.walk(root, onerror=fail, followlinks=True):
        below, real = Path(folder).relative_to(root), os.path.realpath(folder)
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


def read_bytes(path: str) -> bytes:
    """The bytes of one file; raises OSError."""
    with open_input(path) as stream:
        return stream.read()


def open_input(path: str) -> IO[bytes]:
    """A seekable stream of a file's bytes."""
    if is_local(path):
        return Path(path).open("rb")
    return FileSystems.open(path, compression_type=CompressionTypes.UNCOMPRESSED)


@contextmanager
def atomic(path: str) -> Iterator[IO[bytes]]:
    """A stream whose bytes stand under `path` once the block ends well, and nowhere if it does not.

    The temporary name is the writer's own, so that two workers on one shard cannot mix their bytes.
    """
    temporary = f"{path}{PART}{os.getpid()}-{secrets.token_hex(4)}"
    stream = FileSystems.create(
        temporary, "application/octet-stream", CompressionTypes.UNCOMPRESSED
    )
    try:
        with stream:
            yield stream
        FileSystems.rename([temporary], [path])
    except BaseException:
        remove(temporary)
        raise


def write_text(path: str, text: str) -> None:
    """A small text file, whole or not at all."""
    with atomic(path) as stream:
        stream.write(text.encode())


def make_folder(path: str) -> None:
    """A folder and its parents, where there is not one yet."""
    if is_local(path):
        Path(path).mkdir(parents=True, exist_ok=True)
    elif not FileSystems.exists(path):
        FileSystems.mkdirs(path)


def exists(path: str) -> bool:
    """Whether something stands under a path."""
    return Path(path).exists() if is_local(path) else FileSystems.exists(path)


def remove(path: str) -> None:
    """Take a file away if it is there."""
    if exists(path):
        FileSystems.delete([path])


def remove_where(folder: str, unwanted: Callable[[str], bool]) -> None:
    """Take away the files below a folder whose relative path is unwanted."""
    for info in BeamFiles().walk(folder) if exists(folder) else []:
        if info.n_bytes is not None and unwanted(info.path):
            remove(join(folder, info.path))


def shard_name(stem: str, index: int, n_shards: int) -> str:
    """`stem-00007-of-00064.parquet`."""
    return f"{stem}-{index:05d}-of-{n_shards:05d}.parquet"
