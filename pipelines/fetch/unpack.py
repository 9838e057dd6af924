"""Archives from elsewhere, unpacked so that nothing they say reaches beyond one new
folder, or fills the disk."""

import gzip
import lzma
import re
import stat
import struct
import tarfile
import zipfile
import zlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import IO, Any

from pipelines.fetch.progress import bar

CHUNK_BYTES = 1 << 18
# tarfile reads a header whole: a long name has some hundred bytes, a hostile one as many as
# it claims.
MAX_READ_BYTES = 1 << 20
HEADER_BYTES = 4096
_ABSOLUTE = re.compile(r"/|[A-Za-z]:")
_TAR_KINDS = {
    tarfile.SYMTYPE: "symbolic link", tarfile.LNKTYPE: "hard link", tarfile.CHRTYPE: "device", tarfile.BLKTYPE: "device",
    tarfile.FIFOTYPE: "pipe",
}  # fmt: skip
_DAMAGED = (
    tarfile.TarError, zipfile.BadZipFile, gzip.BadGzipFile, lzma.LZMAError, zlib.error, EOFError, struct.error,
    NotImplementedError, RecursionError, ValueError, OverflowError,
)  # fmt: skip


class BadArchive(Exception):
    """Why an archive is refused, in words that follow its name."""


@dataclass(frozen=True)
class Bounds:
    """The most that is unpacked: bytes in all, files and folders."""

    max_bytes: int
    max_members: int


@dataclass(frozen=True)
class _Member:
    name: str
    is_folder: bool
    size: int
    open: Callable[[], IO[bytes]]


def unpack(archive: Path, kind: str, folder: Path, bounds: Bounds) -> None:
    """Unpack into `folder`, which must not be there yet and which the caller removes if
    this raises.

    Only plain files and folders are taken, without their owners, times and modes. Raises
    BadArchive, and OSError where it cannot write.
    """
    folder.mkdir()
    members = (
        _zip_members(archive) if kind == "zip" else _tar_members(archive, kind, bounds)
    )
    n_members, n_bytes = 0, 0
    try:
        with bar(f"unpack {folder.stem}", None) as shown:
            for member in members:
                n_members, n_bytes = n_members + 1, n_bytes + member.size
                if n_members > bounds.max_members:
                    raise BadArchive(
                        f"holds more than {bounds.max_members:,} files and folders (max_members)"
                    )
                if n_bytes > bounds.max_bytes:
                    raise BadArchive(
                        f"unpacks to more than {bounds.max_bytes:,} bytes (max_gib)"
                    )
                _write(member, folder)
                shown.update(member.size)
    except _DAMAGED as error:
        raise BadArchive(f"is damaged ({error})") from error


def _write(member: _Member, folder: Path) -> None:
    target = folder.joinpath(*_parts(member.name))
    try:
        if member.is_folder:
            target.mkdir(parents=True, exist_ok=True)
            return
        target.parent.mkdir(parents=True, exist_ok=True)
        # x: a name that stands twice, or that another file system takes for one that
        # stands, is not written over.
        with member.open() as stream, target.open("xb") as out:
            left = member.size
            while chunk := stream.read(min(CHUNK_BYTES, left + 1)):
                left -= len(chunk)
                out.write(chunk)
    except (FileExistsError, NotADirectoryError) as error:
        raise BadArchive(f"names {_short(member.name)} twice") from error
    if left:
        raise BadArchive(f"is damaged ({_short(member.name)} has not the size it says)")


def _parts(name: str) -> list[str]:
    """A member's path below the folder; raises BadArchive where it leads out of it."""
    parts = [part for part in name.split("/") if part not in ("", ".")]
    if _ABSOLUTE.match(name) or ".." in parts or "\\" in name or "\0" in name:
        raise BadArchive(f"would write outside its folder ({_short(name)})")
    return parts


def _short(name: str) -> str:
    return repr(name if len(name) <= 80 else f"{name[:77]}...")


def _zip_members(archive: Path) -> Iterator[_Member]:
    with zipfile.ZipFile(archive) as opened:
        for info in opened.infolist():
            kind = stat.S_IFMT(info.external_attr >> 16)
            if kind not in (0, stat.S_IFREG, stat.S_IFDIR):
                word = "symbolic link" if kind == stat.S_IFLNK else "special file"
                raise BadArchive(
                    f"holds a {word} ({_short(info.filename)}): only files and folders are unpacked"
                )
            if info.flag_bits & 1:
                raise BadArchive("is locked with a password")
            if info.compress_type not in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED):
                raise BadArchive(
                    f"is packed in a way that is not taken (method {info.compress_type})"
                )
            yield _Member(
                info.orig_filename,
                info.is_dir(),
                info.file_size,
                partial(opened.open, info),
            )


def _tar_members(archive: Path, kind: str, bounds: Bounds) -> Iterator[_Member]:
    limit = bounds.max_bytes + (bounds.max_members + 1) * HEADER_BYTES
    opener: Any = gzip.open if kind == "tar.gz" else lzma.open
    with opener(archive, "rb") as stream:
        bounded: Any = _Bounded(
            stream, limit
        )  # tarfile asks for no more than its three methods
        with tarfile.open(fileobj=bounded, mode="r:") as opened:
            tar: Any = opened  # the type stubs do not know `members`
            while info := tar.next():
                tar.members.clear()  # it would remember them all
                if (
                    info.type not in (tarfile.REGTYPE, tarfile.AREGTYPE, tarfile.DIRTYPE)
                    or info.issparse()
                ):
                    word = _TAR_KINDS.get(info.type, "special file")
                    raise BadArchive(
                        f"holds a {word} ({_short(info.name)}): only files and folders are unpacked"
                    )
                if info.size < 0:
                    raise BadArchive("is damaged (a size below 0)")
                yield _Member(
                    info.name, info.isdir(), info.size, partial(tar.extractfile, info)
                )
        # A tar ends before its stream does, and the packer's checksum stands at the end of
        # the stream.
        while bounded.read(CHUNK_BYTES):
            pass


class _Bounded:
    """A decompressed stream that reads no more at once, and no more in all, than an honest
    archive needs."""

    def __init__(self, stream: IO[bytes], limit: int) -> None:
        self._stream, self._limit = stream, limit
        self.tell, self.seek = stream.tell, stream.seek

    def read(self, n_bytes: int) -> bytes:
        if not 0 <= n_bytes <= MAX_READ_BYTES:
            raise BadArchive(f"has a header of more than {MAX_READ_BYTES:,} bytes")
        if self.tell() > self._limit:
            raise BadArchive(f"unpacks to more than {self._limit:,} bytes (max_gib)")
        return self._stream.read(n_bytes)
