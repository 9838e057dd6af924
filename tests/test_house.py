"""The rules of the house, held by a test: who may import whom, and what no file may do."""

import ast
from collections.abc import Iterator
from importlib.metadata import packages_distributions
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
PACKAGES = ("schemas", "pipelines", "training")
FILES = sorted(path.relative_to(ROOT) for package in PACKAGES for path in (ROOT / package).rglob("*.py"))

# Floors of pipelines, the lowest first: a file imports from its own floor or from below.
FLOORS = [
    ("schemas",),
    ("pipelines.formats", "pipelines.tonal"),
    ("pipelines.sources", "pipelines.features", "pipelines.filters", "pipelines.dedupe", "pipelines.affect"),
    ("pipelines.stages",),
    ("pipelines.registry", "pipelines.config", "pipelines.verdicts"),
    ("pipelines",),
]
# Kinds of which no file imports another of its kind.
ONE_FILE_A_THING = ("pipelines.sources", "pipelines.features", "pipelines.filters")
# Packages that only some files may import.
FENCED = {
    "apache_beam": ("pipelines/stages/", "pipelines/ingest.py", "pipelines/curate.py", "pipelines/publish.py"),
    "torch": ("training/",),
    "spotipy": ("pipelines/affect/spotify.py",),
    "h5py": ("pipelines/affect/msd.py",),
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


def floor(module: str) -> int:
    return next(index for index, packages in enumerate(FLOORS) if any(inside(module, package) for package in packages))


def name_of(path: Path) -> str:
    return ".".join(path.with_suffix("").parts).removesuffix(".__init__")


@pytest.mark.parametrize("path", FILES, ids=str)
def test_imports_run_down(path: Path) -> None:
    for module in imports(path):
        top = module.split(".")[0]
        if top not in PACKAGES:
            continue
        if path.parts[0] != "pipelines":
            assert top in (path.parts[0], "schemas"), f"{path} imports {module}"
        else:
            assert top != "training", f"{path} imports {module}"
            assert floor(module) <= floor(name_of(path)), f"{path} imports {module}, which is above it"


@pytest.mark.parametrize("path", FILES, ids=str)
def test_files_of_one_kind_do_not_import_each_other(path: Path) -> None:
    for kind in ONE_FILE_A_THING:
        if inside(name_of(path), kind):
            assert not [module for module in imports(path) if inside(module, kind)]


@pytest.mark.parametrize("path", FILES, ids=str)
def test_fenced_packages_stay_behind_their_fence(path: Path) -> None:
    for package, allowed in FENCED.items():
        if any(inside(module, package) for module in imports(path)):
            assert str(path).startswith(allowed), f"{path} imports {package}"


def test_the_ground_floor_needs_numpy_and_pyarrow_alone() -> None:
    import sys

    foreign = {module.split(".")[0] for path in FILES if path.parts[0] == "schemas" for module in imports(path)}
    assert foreign - set(sys.stdlib_module_names) <= {"numpy", "pyarrow", "schemas"}


@pytest.mark.parametrize("path", FILES, ids=str)
def test_nothing_runs_at_import_and_no_drawer_is_kept(path: Path) -> None:
    assert not {"utils", "util", "common", "helpers", "misc"} & set(path.with_suffix("").parts), path
    tree = ast.parse((ROOT / path).read_text())
    assert ast.get_docstring(tree), f"{path} has no docstring"
    if path.name == "__init__.py":
        assert len(tree.body) == 1, f"{path} holds more than a docstring"
    for node in tree.body:
        # A call at the top would run at import; only tables built from constants may.
        loose = isinstance(node, ast.Expr) and not isinstance(node.value, ast.Constant)
        assert not loose and not isinstance(node, ast.For | ast.While | ast.With | ast.Try), f"{path}:{node.lineno}"


def test_what_is_imported_is_this_checkout() -> None:
    for package in PACKAGES:
        assert set(packages_distributions()[package]) == {"moodroll"}
        module = __import__(package)
        assert Path(module.__file__ or "").resolve().parent == ROOT / package
