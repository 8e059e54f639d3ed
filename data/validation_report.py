"""What validation found, for a terminal, for machines, and as one HTML page that needs no network.

Findings are rules that rows break; outcomes are expectations that new data meets or not. Does not know how they were checked.
"""

import html
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from core import files
from core.errors import BadInput
from data.severity import FAIL, OK

if TYPE_CHECKING:  # the service reads reports, and should not wait for scipy and pandera to do so
    from data.expectations import Outcome

FILE = "validation.json"
"""In a space: the newest report about one of its snapshots."""
_GROUPS = {"shift": "Distributions", "empty": "Empty fields", "volume": "Volume by day"}
_PAGE = """<!doctype html><html lang="en"><meta charset="utf-8"><meta name="viewport" content="width=device-width">
<title>{title}</title><style>
:root{{color-scheme:light dark;--line:#8884;--fail:#c62828;--warn:#b26a00;--ok:#2e7d32}}
@media(prefers-color-scheme:dark){{:root{{--fail:#ff7b72;--warn:#e3b341;--ok:#56d364}}}}
body{{font:15px/1.45 system-ui,sans-serif;margin:2rem auto;max-width:68rem;padding:0 1rem}}
table{{border-collapse:collapse;width:100%}}td,th{{padding:.3rem .7rem;border-bottom:1px solid var(--line);text-align:left}}

.fail{{color:var(--fail);font-weight:600}}.warn{{color:var(--warn);font-weight:600}}.ok{{color:var(--ok)}}
svg{{width:11rem;height:1rem;display:block}}</style>
<h1>{title}</h1><p class="{verdict}">{summary}</p><p>{sizes}</p>{body}</html>"""


@dataclass(frozen=True)
class Finding:
    """One thing that is not as it should be."""

    severity: str
    table: str
    what: str
    num_rows: int
    example: str = ""

    def to_text(self) -> str:
        """One line."""
        example = f", e.g. {self.example}" if self.example else ""
        return f"{self.severity:<4}  {self.table:<8}{self.what}: {self.num_rows:,} rows{example}"


@dataclass(frozen=True)
class ValidationReport:
    """Everything found in one dataset, failures first."""

    dataset: str
    num_rows: dict[str, int]
    findings: tuple[Finding, ...]
    """Broken rules and unmet expectations."""
    outcomes: "tuple[Outcome, ...]" = ()
    """Every expectation that was compared, met or not."""

    @staticmethod
    def of(
        dataset: str, num_rows: dict[str, int], findings: Sequence[Finding], outcomes: "Sequence[Outcome]"
    ) -> "ValidationReport":
        """Findings and what the outcomes add to them, the worst first."""
        unmet = [Finding(o.severity, "events", f"{o.what}: {o.to_text()}", o.num_rows) for o in outcomes if o.severity != OK]
        ordered = sorted([*findings, *unmet], key=lambda finding: finding.severity != FAIL)
        return ValidationReport(dataset, num_rows, tuple(ordered), tuple(outcomes))

    @property
    def failures(self) -> tuple[Finding, ...]:
        """Findings that make the dataset unusable."""
        return tuple(finding for finding in self.findings if finding.severity == FAIL)

    @property
    def ok(self) -> bool:
        """No failures."""
        return not self.failures

    def summary(self) -> str:
        """A few words."""
        compared = f"; {len(self.outcomes)} expectations compared" if self.outcomes else ""
        warnings = len(self.findings) - len(self.failures)
        found = f"{len(self.failures)} failures, {warnings} warnings" if self.findings else "all checks passed"
        return found + compared

    def to_text(self) -> str:
        """The findings, one per line."""
        return "\n".join([f"{self.dataset}: {self._sizes()}; {self.summary()}", *(f.to_text() for f in self.findings)])

    def to_json(self) -> dict[str, Any]:
        """Plain values."""
        return {
            "dataset": self.dataset,
            "ok": self.ok,
            "num_rows": self.num_rows,
            "findings": [asdict(finding) for finding in self.findings],
            "outcomes": [asdict(outcome) for outcome in self.outcomes],
        }

    def require(self) -> "ValidationReport":
        """Itself, if there are no failures.

        Raises:
            BadInput: with the report.
        """
        if not self.ok:
            raise BadInput(f"the dataset is not usable:\n{self.to_text()}")
        return self

    def keep(self, space: Path, snapshot_id: str, at: int) -> None:
        """Leave the report of a snapshot, made at the instant `at`, where the operations pages find the newest one."""
        files.write_json(space / FILE, {**self.to_json(), "snapshot_id": snapshot_id, "at": at, "summary": self.summary()})

    def write_html(self, path: Path) -> None:
        """Write one page: findings, then every expectation with its place between the limits."""
        rows = [(_badge(f.severity), f.table, f.what, f"{f.num_rows:,}", f.example) for f in self.findings]
        body = "<h2>Findings</h2>" + _table(("", "table", "what", "rows", "example"), rows) if rows else ""
        for group, title in _GROUPS.items():
            found = [outcome for outcome in self.outcomes if outcome.group == group]
            if found:
                body += f"<h2>{title}</h2>" + _table(("", "what", "found", "within limits"), [_row(o) for o in found])
        page = _PAGE.format(
            title=html.escape(f"Is {self.dataset} fit to learn from?"),
            verdict=OK if self.ok else FAIL,
            summary=html.escape(self.summary()),
            sizes=html.escape(self._sizes()),
            body=body,
        )
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(page, encoding="utf-8")

    def _sizes(self) -> str:
        return ", ".join(f"{count:,} {table}" for table, count in self.num_rows.items())


@dataclass(frozen=True)
class _Markup:
    """Text that is HTML already."""

    text: str


def _badge(severity: str) -> _Markup:
    return _Markup(f'<span class="{severity}">{severity}</span>')


def _row(outcome: "Outcome") -> tuple[str | _Markup, ...]:
    return _badge(outcome.severity), outcome.what, outcome.to_text(), _Markup(_bar(outcome))


def _bar(outcome: "Outcome") -> str:
    """Where the value lies: a band between the limits, a tick for what is usual, a dot for what came."""
    least = min(outcome.low, outcome.observed, 0.0)
    span = max(outcome.high, outcome.observed) * 1.05 - least or 1.0
    low, high, usual, came = (100 * (x - least) / span for x in (outcome.low, outcome.high, outcome.expected, outcome.observed))
    return (
        f'<svg viewBox="0 0 100 10" preserveAspectRatio="none" role="img" aria-label="{html.escape(outcome.to_text())}">'
        f'<rect x="{low:.1f}" y="3" width="{high - low:.1f}" height="4" fill="currentColor" opacity=".2"/>'
        f'<rect x="{usual:.1f}" y="1" width=".6" height="8" fill="currentColor" opacity=".6"/>'
        f'<rect x="{max(came - 1, 0):.1f}" y="2" width="2" height="6" fill="var(--{outcome.severity})"/></svg>'
    )


def _table(head: Sequence[str], rows: Sequence[Sequence[str | _Markup]]) -> str:
    cells = (
        "".join(f"<td>{cell.text if isinstance(cell, _Markup) else html.escape(cell)}</td>" for cell in row) for row in rows
    )
    top = "".join(f"<th>{html.escape(name)}</th>" for name in head)
    return f"<table><thead><tr>{top}</tr></thead><tbody>{''.join(f'<tr>{row}</tr>' for row in cells)}</tbody></table>"
