"""fetch of archives that want out of their folder, or would fill the disk."""

import gzip
import io
import os
import stat
import tarfile
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest


def tar_of(
    *members: tuple[tarfile.TarInfo, bytes], mode: str = "w:gz", **options: Any
) -> bytes:
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode=mode, **options) as tar:
        for info, data in members:
            tar.addfile(info, io.BytesIO(data))
    return out.getvalue()


def sized(name: str, size: int, **fields: Any) -> tarfile.TarInfo:
    info = tarfile.TarInfo(name)
    info.size = size
    for key, value in fields.items():
        setattr(info, key, value)
    return info


def tar_noisy(mode: str = "w:gz") -> bytes:
    """A sound archive that no packer makes smaller."""
    return tar_of(
        (sized("set/noise", 150_000), np.random.default_rng(0).bytes(150_000)), mode=mode
    )


def tar_named(name: str) -> bytes:
    return tar_of((sized("set/good", 4), b"good"), (sized(name, 4), b"evil"))


def tar_typed(kind: bytes, linkname: str = "") -> bytes:
    good = (sized("set/good", 4), b"good")
    return tar_of(
        good,
        (sized("set/link", 0, type=kind, linkname=linkname, devmajor=1, devminor=3), b""),
    )


def tar_long_header() -> bytes:
    return tar_of(
        (sized("set/good", 4, pax_headers={"comment": "x" * 5_000_000}), b"good"),
        format=tarfile.PAX_FORMAT,
    )


def tar_header_chain() -> bytes:
    """Thousands of extended headers on end, each of which speaks of the next."""
    header = sized("x", 512, type=tarfile.XHDTYPE).tobuf(tarfile.USTAR_FORMAT)
    return gzip.compress((header + b"12 path=abcd".ljust(512, b"\0")) * 5000)


def tar_sparse() -> bytes:
    """Four bytes that say they are a thousand million, most of them a hole."""
    headers = {
        "GNU.sparse.map": "0,4",
        "GNU.sparse.size": "1000000000",
        "GNU.sparse.numblocks": "1",
    }
    return tar_of(
        (sized("set/hole", 4, pax_headers=headers), b"good"), format=tarfile.PAX_FORMAT
    )


def tar_with_tail() -> bytes:
    return gzip.compress(gzip.decompress(tar_named("set/x")) + bytes(9_000_000), 1)


def tar_negative() -> bytes:
    info = sized("set/bad", 0)
    raw = bytearray(info.tobuf(tarfile.GNU_FORMAT))
    raw[124:136] = b"\xff" * 11 + b"\x00"
    raw[148:156] = b" " * 8
    raw[148:156] = b"%06o\0 " % sum(raw[:512])
    return gzip.compress(bytes(raw) + bytes(1024))


def zip_of(
    name: str,
    data: bytes = b"evil",
    mode: int = 0,
    flags: int = 0,
    method: int = zipfile.ZIP_DEFLATED,
) -> bytes:
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
    "tar file as folder": (
        "tar.gz",
        lambda: tar_named("set/good/x"),
        "names 'set/good/x' twice",
    ),
    "tar symlink": (
        "tar.gz",
        lambda: tar_typed(tarfile.SYMTYPE, "/etc"),
        f"holds a symbolic link ('set/link'): {ONLY}",
    ),
    "tar hard link": (
        "tar.gz",
        lambda: tar_typed(tarfile.LNKTYPE, "../../x"),
        f"holds a hard link ('set/link'): {ONLY}",
    ),
    "tar device": (
        "tar.gz",
        lambda: tar_typed(tarfile.CHRTYPE),
        f"holds a device ('set/link'): {ONLY}",
    ),
    "tar block device": (
        "tar.gz",
        lambda: tar_typed(tarfile.BLKTYPE),
        f"holds a device ('set/link'): {ONLY}",
    ),
    "tar pipe": (
        "tar.gz",
        lambda: tar_typed(tarfile.FIFOTYPE),
        f"holds a pipe ('set/link'): {ONLY}",
    ),
    "tar odd type": ("tar.gz", lambda: tar_typed(tarfile.CONTTYPE), ONLY),
    "tar sparse": ("tar.gz", tar_sparse, ONLY),
    "tar bomb": (
        "tar.gz",
        lambda: tar_of((sized("set/b", 9_000_000), bytes(9_000_000))),
        "unpacks to more than 8,388,608",
    ),
    "tar of many": (
        "tar.gz",
        lambda: tar_of(*((sized(f"set/{n}", 0), b"") for n in range(51))),
        "holds more than 50 files",
    ),
    "tar long header": (
        "tar.gz",
        tar_long_header,
        "has a header of more than 1,048,576 bytes",
    ),
    "tar header chain": ("tar.gz", tar_header_chain, "is damaged"),
    "tar negative size": ("tar.gz", tar_negative, "is damaged (a size below 0)"),
    "tar with a tail": ("tar.gz", tar_with_tail, "unpacks to more than 8,597,504 bytes"),
    "tar cut off": ("tar.gz", lambda: tar_noisy()[:-9000], "is damaged"),
    "tar with a flipped byte": (
        "tar.gz",
        lambda: tar_noisy()[:70_000] + b"!!!!" + tar_noisy()[70_004:],
        "is damaged",
    ),
    "tar of nothing": ("tar.gz", tar_of, "holds nothing and no files in set"),
    "tar xz cut off": ("tar.xz", lambda: tar_noisy("w:xz")[:-9000], "is damaged"),
    "zip up": ("zip", lambda: zip_of("../evil"), OUTSIDE),
    "zip absolute": ("zip", lambda: zip_of("/tmp/evil"), OUTSIDE),
    "zip backslash": ("zip", lambda: zip_of("..\\evil"), OUTSIDE),
    "zip symlink": (
        "zip",
        lambda: zip_of("set/link", b"/etc/passwd", stat.S_IFLNK | 0o777),
        "holds a symbolic link",
    ),
    "zip device": (
        "zip",
        lambda: zip_of("set/link", b"", stat.S_IFCHR),
        "holds a special file",
    ),
    "zip locked": ("zip", lambda: zip_of("set/x", flags=1), "is locked with a password"),
    "zip packed oddly": (
        "zip",
        lambda: zip_of("set/x", method=zipfile.ZIP_LZMA),
        "is packed in a way that is not taken",
    ),
    "zip bomb": (
        "zip",
        lambda: zip_of("set/bomb", bytes(9_000_000)),
        "unpacks to more than 8,388,608 bytes",
    ),
    "zip that says less": ("zip", lambda: zip_lying(10, 1_000_000), "is damaged"),
    "zip that says more": (
        "zip",
        lambda: zip_lying(1_000_000, 10),
        "has not the size it says",
    ),
    "zip cut name": (
        "zip",
        lambda: zip_of("set/x~evil").replace(b"x~evil", b"x\0evil"),
        OUTSIDE,
    ),
    "zip cut off": ("zip", lambda: zip_of("set/x")[:-30], "is damaged"),
}


@pytest.mark.parametrize("which", HOSTILE)
def test_a_hostile_archive_is_refused_and_leaves_nothing(
    tmp_path: Path, desk: Any, which: str
) -> None:
    kind, make, says = HOSTILE[which]
    archive = tmp_path / "archive"
    archive.write_bytes(make())
    manifest = desk.manifest(
        kind=kind, urls=["http://a/b"], max_gib=1 / 128, max_members=50
    )
    before = sorted(os.listdir(tmp_path))
    sentence = desk.refused(manifest, str(archive))
    assert (
        says in sentence
        and sentence.startswith(str(archive))
        and sentence.endswith(": nothing was unpacked")
    )
    assert os.listdir(desk.to) == []
    assert sorted(os.listdir(tmp_path)) == sorted([*before, "data"])
    assert not Path("/tmp/evil").exists()


def test_a_hostile_archive_from_a_server_leaves_no_part(host: Any, desk: Any) -> None:
    host.files["/x"] = tar_named("../evil")
    assert OUTSIDE in desk.refused(desk.manifest(urls=[f"{host.url}/x"]))
    assert os.listdir(desk.to) == []


def test_modes_and_owners_of_an_archive_are_not_taken(tmp_path: Path, desk: Any) -> None:
    archive = tmp_path / "x.tar.gz"
    archive.write_bytes(
        tar_of(
            (sized("set/run", 2, mode=0o6777, uid=0), b"#!"),
            (sized("set/shut", 1, mode=0), b"x"),
        )
    )
    desk.fetch(desk.manifest(urls=["http://a/b"]), archive=str(archive))
    modes = {
        path.name: stat.S_IMODE(path.stat().st_mode)
        for path in (desk.to / "tunes").iterdir()
    }
    assert modes["run"] == modes["shut"] and not modes["run"] & 0o7111
