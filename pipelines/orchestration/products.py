"""What a step makes, kept under a name that its inputs decide: the same inputs again find it made already.

    <root>/<step>/<key>/files/…      the product
    <root>/<step>/<key>/made.json    the inputs, and the seconds it took

    key = first 16 hex digits of sha256(step, inputs, source text of the packages that make it, versions of the libraries)

Inputs are ids, keys of other products and config values, so a key stands for everything above it. The source text counts, not
the commit: a file that was changed and not committed is another program. Written aside and renamed: a product is there whole or
not at all. Two processors may round differently, so a folder that several machines share should be shared by equal ones.
"""

import functools
import hashlib
import json
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from core import files
from pipelines import provenance

CODE = Path(__file__).resolve().parents[2]
"""Where the packages are."""
_MADE = "made.json"


@dataclass(frozen=True)
class Product:
    """A product that is there."""

    path: Path
    reused: bool
    """Whether it was there before it was asked for."""

    @property
    def key(self) -> str:
        """What names it."""
        return self.path.name

    @property
    def files(self) -> Path:
        """The folder of its files."""
        return self.path / "files"

    @property
    def made(self) -> dict[str, Any]:
        """`step`, `inputs`, and the `seconds` that making it took."""
        return json.loads((self.path / _MADE).read_text())


@dataclass(frozen=True)
class Shelf:
    """All products of a space."""

    root: Path

    def find(self, step: str, key: str) -> Product:
        """A product that a step before has made."""
        return Product(self.root / step / key, reused=True)

    def make(self, step: str, inputs: Mapping[str, Any], packages: tuple[str, ...], write: Callable[[Path], None]) -> Product:
        """The product of these inputs; `write` fills an empty folder where it is not there yet.

        Args:
            step: what makes it.
            inputs: all that decides the content, as plain values.
            packages: whose code decides it too.
            write: told the folder.
        """
        decided = {"step": step, "inputs": inputs, "code": code_version(packages), "libraries": _libraries()}
        target = self.root / step / hashlib.sha256(json.dumps(decided, sort_keys=True).encode()).hexdigest()[:16]
        if target.is_dir():
            return Product(target, reused=True)
        with files.new_folder(target) as staged:
            (staged / "files").mkdir()
            began = time.perf_counter()
            write(staged / "files")
            facts = {"step": step, "inputs": dict(inputs), "seconds": time.perf_counter() - began}
            (staged / _MADE).write_text(json.dumps(facts, indent=1, sort_keys=True))
        return Product(target, reused=False)


@functools.cache
def code_version(packages: tuple[str, ...]) -> str:
    """16 hex digits over the source files of some packages."""
    digest = hashlib.sha256()
    for path in sorted(path for package in packages for path in (CODE / package).rglob("*.py")):
        digest.update(f"{path.relative_to(CODE)}:{path.stat().st_size};".encode())
        digest.update(path.read_bytes())
    return digest.hexdigest()[:16]


@functools.cache
def _libraries() -> str:
    return json.dumps(provenance.hardware()["versions"], sort_keys=True)
