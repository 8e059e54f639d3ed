"""A table of millions of rows, a block at a time.

What is computed for every row at once passes through temporary arrays as large as the table, in twice its precision: they cost
memory that nothing else can have meanwhile, and fresh pages of it more time than the arithmetic.
"""

from collections.abc import Iterator

ROWS = 16_384
"""Of a block: a few megabytes of most tables, which caches hold."""


def blocks(num_rows: int, size: int = ROWS) -> Iterator[slice]:
    """Slices that cover `num_rows` in order, `size` at a time."""
    for begin in range(0, num_rows, size):
        yield slice(begin, min(begin + size, num_rows))
