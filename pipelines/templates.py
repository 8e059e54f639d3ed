"""Reports as HTML pages that need no network, from templates beside the modules that draw them."""

from pathlib import Path
from typing import Any

from jinja2 import Environment, FileSystemLoader, StrictUndefined


def write(template: Path, path: Path, **values: Any) -> None:
    """Fill a template and write the page. Raises jinja2.UndefinedError where a value is missing."""
    environment = Environment(
        loader=FileSystemLoader(template.parent), autoescape=True, undefined=StrictUndefined, trim_blocks=True
    )
    page = environment.get_template(template.name).render(**values)
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(page, encoding="utf-8")
