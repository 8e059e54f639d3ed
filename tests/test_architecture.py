"""What the design promises about the code itself: sizes, directions, and who may import what."""

import ast
import subprocess
import sys
import tomllib
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
PACKAGES = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["importlinter"]["root_packages"]
SOURCES = sorted(path for package in PACKAGES for path in (ROOT / package).rglob("*.py"))
TESTS = sorted((ROOT / "tests").rglob("*.py"))
TREES = {path: ast.parse(path.read_text()) for path in [*SOURCES, *TESTS]}

TORCH = {
    "embeddings/tables.py", "embeddings/jagged.py", "embeddings/torchrec_tables.py", "embeddings/plain_tables.py",
    "embeddings/sharded.py", "retrieval/towers.py", "retrieval/losses.py", "retrieval/batches.py", "retrieval/train.py",
    "retrieval/export.py", "retrieval/transformer.py", "retrieval/sequences.py", "retrieval/parallel.py",
    "ranking/model.py", "ranking/graph.py", "ranking/losses.py", "ranking/batches.py", "ranking/train.py", "ranking/export.py",
    "retrieval/solved_graphs.py", "embeddings/sharded_bags.py", "embeddings/placement.py",
}  # fmt: skip


def name(path: Path) -> str:
    return str(path.relative_to(ROOT))


def imported(tree: ast.AST) -> Iterator[str]:
    """Top-level names of every import anywhere in a file."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from (alias.name.split(".")[0] for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.level == 0:
            yield str(node.module).split(".")[0]


def importers(*modules: str) -> set[str]:
    return {name(path) for path in SOURCES if set(modules) & set(imported(TREES[path]))}


def test_files_are_short() -> None:
    lengths = {name(path): len(path.read_text().splitlines()) for path in TREES}
    assert {path: length for path, length in lengths.items() if length > 400} == {}


def test_functions_are_short() -> None:
    long = {
        f"{name(path)}:{node.lineno} {node.name}": node.end_lineno - node.lineno + 1
        for path in SOURCES
        for node in ast.walk(TREES[path])
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef) and node.end_lineno and node.end_lineno - node.lineno >= 60
    }
    assert long == {}


def test_folders_are_one_deep() -> None:
    assert [name(path) for path in SOURCES if len(path.relative_to(ROOT).parts) > 3] == []


def test_packages_re_export_nothing() -> None:
    inits = [path for path in SOURCES if path.name == "__init__.py"]
    assert [name(path) for path in inits if any(True for _ in imported(TREES[path]))] == []


def test_every_module_opens_with_a_contract() -> None:
    assert [name(path) for path in SOURCES if ast.get_docstring(TREES[path]) is None] == []


def test_no_pickle() -> None:
    forbidden = ("pickle", "cPickle", "cloudpickle", "dill", "joblib", "shelve", "marshal")
    assert importers(*forbidden) == set()
    allowed = [
        f"{name(path)}:{node.value.lineno}"
        for path in SOURCES
        for node in ast.walk(TREES[path])
        if isinstance(node, ast.keyword) and node.arg == "allow_pickle" and getattr(node.value, "value", None) is not False
    ]
    assert allowed == []


def test_the_environment_is_read_in_one_place() -> None:
    """Benchmarks aside: they hand settings to the processes they measure."""
    readers = {
        name(path)
        for path in SOURCES
        for node in ast.walk(TREES[path])
        if (isinstance(node, ast.Attribute) and node.attr in ("environ", "getenv", "environb", "putenv"))
        or (isinstance(node, ast.ImportFrom) and node.module == "os" and {a.name for a in node.names} & {"environ", "getenv"})
    }
    assert {path for path in readers if not path.startswith("benchmarks/")} == {"core/settings.py"}


def test_torch_stays_in_the_training_files() -> None:
    """Benchmarks aside: they measure it."""
    found = importers("torch", "torchrec", "fbgemm_gpu") - TORCH
    assert {path for path in found if not path.startswith("benchmarks/")} == set()


@pytest.mark.parametrize("library", ["faiss", "onnxruntime", "redis", "sqlite3"])
def test_a_heavy_library_hides_behind_one_or_two_adapters(library: str) -> None:
    assert len(importers(library)) <= 2


def test_core_imports_only_the_standard_library_and_arrays() -> None:
    third_party = {found for path in SOURCES if path.parent.name == "core" for found in imported(TREES[path])}
    assert third_party - set(sys.stdlib_module_names) <= {"core", "numpy", "scipy", "pyarrow"}


def test_imports_point_one_way() -> None:
    code = "import sys; from importlinter.cli import lint_imports; sys.exit(lint_imports(no_cache=True))"
    result = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=False)
    assert result.returncode == 0, result.stdout + result.stderr


def test_the_server_never_loads_torch_nor_starts_with_statistics() -> None:
    """`import scipy` loads its submodules when they are first used; scipy.stats alone would be half of the time to start."""
    modules = [
        ".".join(path.relative_to(ROOT).with_suffix("").parts).removesuffix(".__init__")
        for path in SOURCES
        if path.relative_to(ROOT).parts[0] in ("app", "serving")
    ]
    asked = "print([name for name in ('torch', 'scipy.stats', 'scipy.special', 'scipy.optimize') if name in sys.modules])"
    code = f"import importlib, sys; [importlib.import_module(m) for m in {modules!r}]; {asked}"
    result = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=False)
    assert result.stdout.split() == ["[]"], result.stdout + result.stderr
