"""The rules of the house, held by a test: who may import whom, and what no file may do."""

import ast
import tomllib
from collections.abc import Iterator
from importlib.metadata import packages_distributions
from itertools import chain
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
PACKAGES = ("schemas", "pipelines", "training")
FILES = sorted(
    path.relative_to(ROOT)
    for package in PACKAGES
    for path in (ROOT / package).rglob("*.py")
)

# Pages, one a command: none imports another.
PAGES = tuple(
    f"pipelines.{page}"
    for page in (
        "ingest",
        "curate",
        "publish",
        "verify",
        "describe",
        "duplicates",
        "freeze",
        "inspect",
    )
)
# Floors of each package, the lowest first: a file imports from its own floor or from below.
FLOORS = {
    "schemas": [("schemas",)],
    "pipelines": [
        ("schemas",),
        ("pipelines.io",),
        ("pipelines.layout", "pipelines.works"),
        ("pipelines.formats",),
        (
            "pipelines.sources",
            "pipelines.features",
            "pipelines.filters",
            "pipelines.dedupe",
        ),
        ("pipelines.labels",),
        ("pipelines.fetch", "pipelines.beam", "pipelines.report"),
        (
            "pipelines.registry",
            "pipelines.config",
            "pipelines.catalog",
            "pipelines.checks",
            "pipelines.manifest_checks",
        ),
        PAGES,
        ("pipelines.arguments", "pipelines.cli", "pipelines"),
    ],
    "training": [
        ("schemas",),
        ("training.errors",),
        ("training.registry",),
        ("training.recipes",),
        ("training.config",),
        ("training.data",),
        ("training.parts",),
        ("training.protocols", "training.models"),
        ("training.engine",),
        ("training.generation",),
        ("training.evaluation",),
        ("training.experiments",),
        ("training.arguments", "training.cli", "training"),
    ],
}
# Kinds of which no file imports another of its kind; a folder among them is one of its
# kind.
ONE_FILE_A_THING = ("pipelines.sources", "pipelines.features", "training.models")
# Packages that only some files may import.
FENCED = {
    "apache_beam": (
        "pipelines/beam/",
        "pipelines/io/files.py",
        "pipelines/ingest.py",
        "pipelines/curate.py",
        "pipelines/publish.py",
    ),
    "torch": ("training/",),
    "spotipy": ("pipelines/labels/spotify/",),
    "h5py": ("pipelines/labels/msd.py",),
}


def imports(path: Path) -> Iterator[str]:
    """Every module that a file imports, wherever in it."""
    for node in ast.walk(ast.parse((ROOT / path).read_text())):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}: imports are absolute"
            yield from (f"{node.module}.{alias.name}" for alias in node.names)


def inside(module: str, package: str) -> bool:
    return module == package or module.startswith(package + ".")


def floor(module: str, package: str) -> int:
    """The lowest floor of a package's house on which a module stands; packages of the
    house that it lacks are an error."""
    floors = FLOORS[package]
    return next(
        index
        for index, rooms in enumerate(floors)
        if any(inside(module, room) for room in rooms)
    )


def name_of(path: Path) -> str:
    return ".".join(path.with_suffix("").parts).removesuffix(".__init__")


@pytest.mark.parametrize("path", FILES, ids=str)
def test_imports_run_down(path: Path) -> None:
    package = path.parts[0]
    for module in imports(path):
        top = module.split(".")[0]
        if top in PACKAGES:
            assert top in (package, "schemas"), f"{path} imports {module}"
            assert floor(module, package) <= floor(name_of(path), package), (
                f"{path} imports {module}, which is above it"
            )


@pytest.mark.parametrize("page", PAGES)
def test_no_page_imports_another(page: str) -> None:
    path = Path(*page.split(".")).with_suffix(".py")
    others = [
        module for module in imports(path) if any(inside(module, other) for other in PAGES)
    ]
    assert others == []


def test_no_circle_of_imports() -> None:
    modules = {name_of(path): path for path in FILES}
    arrows = {
        name: {held for held in map(holder, imports(path)) if held in modules}
        for name, path in modules.items()
    }
    while done := [
        name for name, below in arrows.items() if not below & arrows.keys() - {name}
    ]:
        for name in done:
            del arrows[name]
    assert not arrows, f"these import each other: {', '.join(sorted(arrows))}"


def holder(module: str) -> str:
    """The file that holds an imported name: the name itself where it is a file, else
    what stands before it."""
    return (
        module
        if ROOT.joinpath(*module.split(".")).with_suffix(".py").exists()
        else module.rpartition(".")[0]
    )


@pytest.mark.parametrize("path", FILES, ids=str)
def test_files_of_one_kind_do_not_import_each_other(path: Path) -> None:
    for kind in ONE_FILE_A_THING:
        if inside(name_of(path), kind):
            own = ".".join(name_of(path).split(".")[: kind.count(".") + 2])
            assert not [
                module
                for module in imports(path)
                if inside(module, kind) and not inside(module, own)
            ]


@pytest.mark.parametrize("path", FILES, ids=str)
def test_fenced_packages_stay_behind_their_fence(path: Path) -> None:
    for package, allowed in FENCED.items():
        if any(inside(module, package) for module in imports(path)):
            assert str(path).startswith(allowed), f"{path} imports {package}"


def test_the_ground_floor_needs_numpy_and_pyarrow_alone() -> None:
    import sys

    foreign = {
        module.split(".")[0]
        for path in FILES
        if path.parts[0] == "schemas"
        for module in imports(path)
    }
    # miditoolkit: both commands write MIDI, and by one writer.
    assert foreign - set(sys.stdlib_module_names) <= {
        "miditoolkit",
        "numpy",
        "pyarrow",
        "schemas",
    }


@pytest.mark.parametrize("path", FILES, ids=str)
def test_nothing_runs_at_import_and_no_drawer_is_kept(path: Path) -> None:
    assert not {"utils", "util", "common", "helpers", "misc"} & set(
        path.with_suffix("").parts
    ), path
    tree = ast.parse((ROOT / path).read_text())
    assert ast.get_docstring(tree), f"{path} has no docstring"
    if path.name == "__init__.py":
        assert len(tree.body) == 1, f"{path} holds more than a docstring"
    for node in tree.body:
        # A call at the top would run at import; only tables built from constants may.
        loose = isinstance(node, ast.Expr) and not isinstance(node.value, ast.Constant)
        assert not loose and not isinstance(
            node, ast.For | ast.While | ast.With | ast.Try
        ), f"{path}:{node.lineno}"


def test_what_is_imported_is_this_checkout() -> None:
    for package in PACKAGES:
        assert set(packages_distributions()[package]) == {"moodroll"}
        module = __import__(package)
        assert Path(module.__file__ or "").resolve().parent == ROOT / package


def test_the_tested_versions_lie_within_the_ranges() -> None:
    from packaging.requirements import Requirement

    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    extras = project["optional-dependencies"].values()
    ranges = [Requirement(text) for text in [*project["dependencies"], *chain(*extras)]]
    lines = (ROOT / "constraints.txt").read_text().splitlines()
    pins = dict(line.split("==") for line in lines if not line.startswith("#"))
    tested = {name.lower().replace("_", "-"): version for name, version in pins.items()}
    for wanted in ranges:
        assert wanted.specifier.contains(tested[wanted.name.lower().replace("_", "-")]), (
            wanted
        )


def test_every_source_and_model_stands_in_its_registry() -> None:
    from pipelines.registry import SOURCES
    from training.registry import MODELS

    sources = {source.parse.__module__.split(".")[2] for source in SOURCES.values()}
    assert sources == rooms(ROOT / "pipelines" / "sources")
    models = {make().make.__module__.split(".")[2] for make in MODELS.values()}
    assert models == rooms(ROOT / "training" / "models")


def rooms(folder: Path) -> set[str]:
    """The files and folders of a kind, by name."""
    return {
        path.stem
        for path in folder.iterdir()
        if not path.name.startswith(("_", "py.typed"))
    }


def test_every_recipe_is_of_a_kind_that_a_registry_knows() -> None:
    from pipelines.config import load as load_build
    from pipelines.registry import SOURCES
    from training.config import load as load_run
    from training.registry import MODELS

    for path in sorted((ROOT / "manifests" / "builds").glob("*.toml")):
        assert load_build(str(path), [], SOURCES).sources, path
    for path in sorted((ROOT / "manifests" / "runs").glob("*.toml")):
        assert load_run(str(path)).kind in MODELS, path
