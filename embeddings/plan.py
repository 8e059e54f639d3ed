"""Where do the tables go? Sizes and devices in, a placement with its arithmetic out.

One look-up reads L rows of a table and returns their sum (D numbers of 4 bytes) to the device that asked; with W devices,
(W − 1)/W of the requests come from another one. Per look-up, forward (backward sends the same again, the other way):

    table-wise       one device holds all                      sends D·4·(W−1)/W             busiest device sends all of it
    column-wise, c   c devices hold D/c numbers of every row   sends D·4·(W−1)/W             busiest sends 1/c of it
    row-wise         every device holds rows/W                 sends D·4·(W−1), partial sums busiest sends 1/W of it
    host and cache   rows in host memory, the hottest on each  reads (1 − hit)·L rows over the bus

Row indices (8 bytes each) travel as well: L·8·(W−1)/W, and c times that column-wise. Tables are placed largest first. Among
the choices that fit, the one whose busiest device sends least wins, then the one that moves least; host memory is for tables
that no choice fits. Greedy, so a set of tables may fit that this plan calls too large. Knows no bandwidths.

A column slice is at least 128 bytes wide: memory is read in pieces of that size, and narrower slices read in vain.
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass

from core.errors import BadInput
from embeddings.arithmetic import TableSize, best_hit_rate, lru_hit_rate, row_bytes, table_size

TABLE_WISE, COLUMN_WISE, ROW_WISE, HOST = "table_wise", "column_wise", "row_wise", "host_cache"
RESERVED = 0.15
"""Share of each device that is left for activations, gradients and the rest of the model."""
_OUTPUT_BYTES, _INDEX_BYTES = 4, 8
_NARROWEST_BYTES = 128
_UNITS = {"KB": 10**3, "MB": 10**6, "GB": 10**9, "TB": 10**12, "KIB": 1 << 10, "MIB": 1 << 20, "GIB": 1 << 30, "TIB": 1 << 40}


@dataclass(frozen=True)
class TableSpec:
    """One table as training needs it."""

    name: str
    rows: int
    dim: int
    dtype: str = "fp16"
    optimizer: str = "rowwise_adagrad"
    pooling: int = 1
    """Rows per look-up."""

    @property
    def size(self) -> TableSize:
        """Bytes of weights and optimiser state."""
        return table_size(self.rows, self.dim, self.dtype, self.optimizer)


@dataclass(frozen=True)
class Devices:
    """Equal accelerators and the memory of their host."""

    count: int
    bytes_each: int
    host_bytes: int = 0

    @property
    def usable(self) -> int:
        """Bytes of one device that tables may take."""
        return round(self.bytes_each * (1 - RESERVED))


@dataclass(frozen=True)
class Choice:
    """One way to place a table, with its arithmetic."""

    kind: str
    bytes_by_device: dict[int, int]
    host_bytes: int
    fits: bool
    moved: float
    """Bytes per look-up between devices, or from the host, forward."""
    busiest: float
    """Bytes per look-up that the busiest device sends or fetches."""
    why: str
    hit_rate: float | None = None
    """Of the cache, on Zipf look-ups, best possible."""


@dataclass(frozen=True)
class Placement:
    """A table, what was chosen for it (None: nothing fits), and everything that was weighed."""

    table: TableSpec
    chosen: Choice | None
    choices: tuple[Choice, ...]


@dataclass(frozen=True)
class Plan:
    """Every table's placement and what is used in the end."""

    placements: tuple[Placement, ...]
    used: tuple[int, ...]
    """Bytes by device."""
    host_used: int

    @property
    def fits(self) -> bool:
        """Whether every table found a place."""
        return all(placement.chosen is not None for placement in self.placements)


def parse_bytes(text: str) -> int:
    """'80GB' (10⁹) or '80GiB' (2³⁰) as bytes."""
    found = re.fullmatch(r"\s*(\d+(?:\.\d+)?)\s*([KMGT]I?B)\s*", text.upper())
    if not found:
        raise BadInput(f"'{text}' is no size; write for example 80GB (10⁹ bytes) or 80GiB (2³⁰)")
    return round(float(found[1]) * _UNITS[found[2]])


def parse_devices(text: str, host: str = "0GB") -> Devices:
    """'8x80GB' as eight devices of 80 · 10⁹ bytes."""
    found = re.fullmatch(r"\s*(\d+)\s*[x×]\s*(.+)", text)
    if not found or int(found[1]) < 1:
        raise BadInput(f"'{text}' names no devices; write for example 8x80GB")
    return Devices(int(found[1]), parse_bytes(found[2]), parse_bytes(host))


def plan(tables: Sequence[TableSpec], devices: Devices, exponent: float = 1.0) -> Plan:
    """Place every table, largest first; look-ups of a cached table are Zipf with `exponent`.

    Raises:
        BadInput: a table without rows or numbers, or one with an unknown dtype or optimiser.
    """
    free, host_free, placements = [devices.usable] * devices.count, devices.host_bytes, []
    for table in sorted(tables, key=lambda one: -one.size.total):
        if table.rows < 1 or table.dim < 1 or table.pooling < 1:
            raise BadInput(
                f"table '{table.name}' is {table.rows} × {table.dim}, {table.pooling} rows a look-up: all must be ≥ 1"
            )
        ways = (_table_wise, _column_wise, _row_wise) if devices.count > 1 else (_table_wise,)
        choices = [make(table, free) for make in ways]
        if not any(choice.fits for choice in choices):
            choices.append(_host(table, free, host_free, exponent))
        fitting = [choice for choice in choices if choice.fits]
        chosen = min(fitting, key=lambda choice: (choice.busiest, choice.moved)) if fitting else None
        if chosen is not None:
            host_free -= chosen.host_bytes
            free = [left - chosen.bytes_by_device.get(device, 0) for device, left in enumerate(free)]
        placements.append(Placement(table, chosen, tuple(choices)))
    return Plan(tuple(placements), tuple(devices.usable - left for left in free), devices.host_bytes - host_free)


def cache_curve(rows: int, exponent: float, shares: Sequence[float] = (0.001, 0.01, 0.1)) -> list[dict[str, float]]:
    """Expected hit rates of caches that hold these shares of the rows: best possible, and LRU."""
    sizes = [max(round(rows * share), 1) for share in shares]
    return [
        {"rows": size, "best": best_hit_rate(rows, size, exponent), "lru": lru_hit_rate(rows, size, exponent)} for size in sizes
    ]


def _table_wise(table: TableSpec, free: list[int]) -> Choice:
    device, need = max(range(len(free)), key=free.__getitem__), table.size.total
    moved = _moved(table, len(free), slices=1)
    why = f"{gigabytes(need)} on device {device}, {gigabytes(free[device])} free"
    return Choice(TABLE_WISE, {device: need}, 0, need <= free[device], moved, moved, why)


def _column_wise(table: TableSpec, free: list[int]) -> Choice:
    """As many equal slices as divide the row: each at least 128 bytes, and no more than there are devices."""
    possible = [c for c in range(2, len(free) + 1) if _slices_well(table, c)]
    if not possible:
        why = f"{table.dim} numbers of {table.dtype} do not divide into slices of {_NARROWEST_BYTES} bytes or more"
        return Choice(COLUMN_WISE, {}, 0, False, 0.0, 0.0, why)
    slices = possible[-1]
    need = table_size(table.rows, table.dim // slices, table.dtype, table.optimizer).total
    chosen = sorted(range(len(free)), key=lambda device: -free[device])[:slices]
    moved = _moved(table, len(free), slices)
    least = min(free[device] for device in chosen)
    why = f"{slices} slices of {table.dim // slices} numbers, {gigabytes(need)} each, {gigabytes(least)} free"
    return Choice(COLUMN_WISE, dict.fromkeys(chosen, need), 0, need <= least, moved, moved / slices, why)


def _row_wise(table: TableSpec, free: list[int]) -> Choice:
    devices = len(free)
    rows = -(-table.rows // devices)
    need = table_size(rows, table.dim, table.dtype, table.optimizer).total
    away = (devices - 1) / devices
    moved = table.pooling * _INDEX_BYTES * away + table.dim * _OUTPUT_BYTES * (devices - 1)
    why = f"{rows:,} rows, {gigabytes(need)} on each of {devices}, {gigabytes(min(free))} free"
    return Choice(ROW_WISE, dict.fromkeys(range(devices), need), 0, need <= min(free), moved, moved / devices, why)


def _host(table: TableSpec, free: list[int], host_free: int, exponent: float) -> Choice:
    """All rows in host memory, and on every device a cache of the rows it uses most, as large as what is free there."""
    per_row = table.size.total // table.rows
    cached = min(min(free) // per_row, table.rows)
    hit = best_hit_rate(table.rows, cached, exponent) if cached else 0.0
    moved = (1 - hit) * table.pooling * per_row
    why = f"{gigabytes(table.size.total)} in host memory, {gigabytes(host_free)} free; each device caches {cached:,} rows"
    cache = dict.fromkeys(range(len(free)), cached * per_row)
    return Choice(HOST, cache, table.size.total, table.size.total <= host_free, moved, moved, why, hit)


def _moved(table: TableSpec, devices: int, slices: int) -> float:
    away = (devices - 1) / devices
    return away * (slices * table.pooling * _INDEX_BYTES + table.dim * _OUTPUT_BYTES)


def _slices_well(table: TableSpec, slices: int) -> bool:
    width, left = divmod(table.dim, slices)
    return left == 0 and width % 4 == 0 and row_bytes(width, table.dtype) >= _NARROWEST_BYTES


def gigabytes(size: float) -> str:
    """Bytes for people: 51.20 GB (10⁹)."""
    return f"{size / 1e9:,.2f} GB"
