"""How every benchmark keeps its result: a dated JSON file with commit, hardware, versions and the arguments that made it.

    parser = results_file.parser(__doc__)           # adds --json
    results_file.keep("protocols", result, parser.parse_args())

Without `--json` the file is benchmarks/results/<date>-<name>.json.
"""

import argparse
import json
from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from pipelines import provenance

FOLDER = Path(__file__).parent / "results"


def parser(doc: str | None) -> argparse.ArgumentParser:
    """A command line whose help is the module's docstring."""
    found = argparse.ArgumentParser(description=doc, formatter_class=argparse.RawDescriptionHelpFormatter)
    found.add_argument("--json", type=Path, default=None, help="write the result here instead of benchmarks/results/")
    return found


def origin() -> dict[str, Any]:
    """When, from which commit, and on what."""
    return {
        "date": datetime.now(UTC).date().isoformat(),
        "commit": provenance.git_commit(),
        "hardware": provenance.hardware(),
    }


def keep(name: str, result: Mapping[str, Any], arguments: argparse.Namespace) -> Path:
    """Write the result with its origin; says where."""
    # Of a path its name: where it lies on this machine is nobody's business.
    asked = {key: value.name if isinstance(value, Path) else value for key, value in vars(arguments).items() if key != "json"}
    whole = {**origin(), "arguments": asked, **result}
    path = arguments.json or FOLDER / f"{whole['date']}-{name}.json"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(whole, indent=1, default=str, allow_nan=False) + "\n")
    print(f"wrote {path}")
    return path
