"""Figures of the house: how large, how dense and how tangled the code is, a row a package.

    python tests/bench/house_figures.py [CHECKOUT]

nodes: nodes of the syntax tree to a code line, docstrings, comments and blank lines left
out; long: per cent of lines over 100 columns; arrows: imports of one file by another;
circles: files that import each other in a loop.
"""

import ast
import io
import sys
import tokenize
from collections.abc import Iterator
from pathlib import Path

PACKAGES = ("schemas", "pipelines", "training")
COLUMNS = 100
SILENT = {
    tokenize.COMMENT,
    tokenize.NL,
    tokenize.NEWLINE,
    tokenize.INDENT,
    tokenize.DEDENT,
    tokenize.ENDMARKER,
}


def code_lines(text: str) -> set[int]:
    """The numbers of the lines that hold code."""
    lines = set[int]()
    for token in tokenize.generate_tokens(io.StringIO(text).readline):
        if token.type not in SILENT:
            lines |= set(range(token.start[0], token.end[0] + 1))
    return lines - docstring_lines(ast.parse(text))


def docstring_lines(tree: ast.Module) -> set[int]:
    """The numbers of the lines that docstrings take."""
    lines = set[int]()
    for node in ast.walk(tree):
        if not isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef):
            continue
        if ast.get_docstring(node, clean=False) is not None:
            text = node.body[0]
            lines |= set(range(text.lineno, (text.end_lineno or text.lineno) + 1))
    return lines


def imports(path: Path) -> Iterator[str]:
    """Every dotted name that a file imports."""
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.ImportFrom):
            for name in node.names:
                yield f"{node.module}.{name.name}"
                yield str(node.module)


def arrows_of(root: Path) -> dict[str, set[str]]:
    """The files that each file imports, all as dotted names."""
    names = {}
    for path in sorted(
        path for package in PACKAGES for path in (root / package).rglob("*.py")
    ):
        names[".".join(path.relative_to(root).with_suffix("").parts)] = path
    return {
        name: set(imports(path)) & names.keys() - {name} for name, path in names.items()
    }


def in_circles(arrows: dict[str, set[str]]) -> set[str]:
    """The files that import each other, or lie between two such loops."""
    left = {name: set(below) for name, below in arrows.items()}
    for _ in range(2):
        while free := [name for name, below in left.items() if not below & left.keys()]:
            for name in free:
                del left[name]
        above = {
            name: {over for over, below in left.items() if name in below} for name in left
        }
        left = above
    return set(left)


def main(root: Path) -> None:
    """Print the table."""
    arrows = arrows_of(root)
    print(f"{'':10}{'files':>7}{'lines':>8}{'code':>8}{'nodes':>7}{'long':>7}{'arrows':>8}")
    for package in (*PACKAGES, "tests"):
        texts = [path.read_text() for path in sorted((root / package).rglob("*.py"))]
        lines = [line for text in texts for line in text.splitlines()]
        code = sum(len(code_lines(text)) for text in texts)
        nodes = sum(1 for text in texts for _ in ast.walk(ast.parse(text)))
        long = sum(len(line) > COLUMNS for line in lines) / len(lines)
        out = sum(
            len(below) for name, below in arrows.items() if name.startswith(package + ".")
        )
        print(
            f"{package:10}{len(texts):7}{len(lines):8}{code:8}{nodes / code:7.2f}{long:7.2%}{out:8}"
        )
    recipes = sorted((root / "manifests" / "runs").glob("*.toml"))
    n_lines = sum(len(path.read_text().splitlines()) for path in recipes)
    print(f"recipes: {len(recipes)} files of {n_lines} lines")
    print(f"in circles: {', '.join(sorted(in_circles(arrows))) or 'none'}")


if __name__ == "__main__":
    main(Path(sys.argv[1] if len(sys.argv) > 1 else ".").resolve())
