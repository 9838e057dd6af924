"""What can be fetched: manifests/sources/*.toml, each one download with its pins,
licence and citation."""

import re
import sysconfig
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Literal

from pipelines.works import WORKS
from schemas.settings import SettingsError, build, read_toml

_NAME = re.compile(r"[a-z0-9][a-z0-9-]*")
_SHA256 = re.compile(r"[0-9a-f]{64}")
_WEB = re.compile(r"https?://\S+")


@dataclass(frozen=True)
class Source:
    """One download, as its file in manifests/sources describes it.

    works: what it holds, by the names of pipelines/works.py, which say licence and citation;
    for anything else licence and citation stand here. loader: the source of a build that reads
    it, "" for side files. urls: where it can be had, tried in turn; browser: the page for people where only a
    browser gets it, click: what to click there. kind: how it is packed; inside: the folder
    of the archive that is wanted, "" for all of it; path: where that, or the file, stands
    below the folder that is fetched to. size (bytes) and sha256: its pins, 0 and "" where
    nobody has published them. max_gib and max_members: an archive that holds more, packed
    or unpacked, is refused.
    """

    name: str
    title: str
    holds: str
    kind: Literal["zip", "tar.gz", "tar.xz", "file"]
    path: str
    works: tuple[str, ...] = ()
    licence: str = ""
    citation: str = ""
    loader: str = ""
    urls: tuple[str, ...] = ()
    browser: str = ""
    click: str = ""
    inside: str = ""
    size: int = 0
    sha256: str = ""
    max_gib: float = 1.0
    max_members: int = 20_000

    def __post_init__(self) -> None:
        if not _NAME.fullmatch(self.name):
            raise ValueError(f"name {self.name!r} must be of a-z, 0-9 and -")
        unknown = sorted(set(self.works) - set(WORKS))
        if unknown:
            raise ValueError(f"no work {unknown[0]!r}: known are {', '.join(WORKS)}")
        if not (self.licence_text.strip() and self.citation_text.strip()):
            raise ValueError("licence and citation must say something, or works name some")
        if not self.urls and not self.browser:
            raise ValueError("it needs urls, or a browser page")
        for address in (*self.urls, *filter(None, [self.browser])):
            if not _WEB.fullmatch(address):
                raise ValueError(f"{address!r} is not an http or https address")
        if self.sha256 and not _SHA256.fullmatch(self.sha256):
            raise ValueError("sha256 must be 64 digits of 0-9 and a-f")
        for path in (self.path, self.inside):
            if PurePosixPath(path).is_absolute() or ".." in PurePosixPath(path).parts:
                raise ValueError(f"{path!r} must stay below its folder")
        if not PurePosixPath(self.path).parts:
            raise ValueError("path must name a place below the folder")

    @property
    def licence_text(self) -> str:
        """The licence, or those of the works, nothing twice."""
        names = dict.fromkeys(WORKS[work].licence_name for work in self.works)
        return self.licence or ", ".join(names)

    @property
    def citation_text(self) -> str:
        """How to cite it."""
        return self.citation or " ".join(WORKS[work].citation for work in self.works)

    @property
    def max_bytes(self) -> int:
        """The most bytes that are taken, packed or unpacked."""
        return int(self.max_gib * 2**30)


def folder() -> Path:
    """The folder of source files: the checkout's, else the one that was installed beside
    the package."""
    checkout = Path(__file__).resolve().parents[2] / "manifests" / "sources"
    return (
        checkout
        if checkout.is_dir()
        else Path(sysconfig.get_path("data"), "share", "moodroll", "manifests", "sources")
    )


def known() -> list[str]:
    """The names of all sources that stand in the manifests."""
    return sorted(path.stem for path in folder().glob("*.toml"))


def load_source(name: str) -> Source:
    """A source by its name, or by the path of a TOML file; raises SettingsError where it
    is not known or not in order."""
    path = Path(name) if name.endswith(".toml") else folder() / f"{name}.toml"
    if not name.endswith(".toml") and name not in known():
        raise SettingsError(
            f"no source {name!r}: there are {', '.join(known()) or 'none'}; or give the path of a .toml file"
        )
    try:
        return build(Source, read_toml(str(path)))
    except SettingsError as error:
        raise SettingsError(
            str(error) if str(path) in str(error) else f"{path}: {error}"
        ) from error
