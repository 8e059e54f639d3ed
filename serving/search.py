"""Titles → a search index in one SQLite file (FTS5), and words → catalogue rows.

Every word of a query must begin a word of the title or channel; diacritics and case do not matter; each Chinese, Japanese or
Korean character is a word. A query's text never reaches SQLite as syntax: only its letters and digits do, each word quoted.
"""

import re
import sqlite3
import threading
import unicodedata
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import polars as pl
from numpy.typing import NDArray

from core import columns as c
from core.errors import ReleaseRefused
from data.catalogue import Catalogue

FILE = "search.sqlite"
_MAX_WORDS = 12
_MOST = 1_000
_IDEOGRAPH = r"\u3040-\u30ff\u3400-\u4dbf\u4e00-\u9fff\uac00-\ud7af\uf900-\ufaff"
_WORD = re.compile(rf"[{_IDEOGRAPH}]|[^\W_{_IDEOGRAPH}]+")


def words(text: str) -> list[str]:
    """The words of a text; each ideograph is one."""
    return _WORD.findall(text)


def build(catalogue: Catalogue, directory: Path) -> None:
    """Write `search.sqlite`: one entry per video, its rowid the catalogue row + 1."""
    path = directory / FILE
    path.unlink(missing_ok=True)
    titles, channels = catalogue.frame[c.TITLE].to_list(), catalogue.frame[c.CHANNEL].to_list()
    entries = [
        (row + 1, _text(title), _text(channel)) for row, (title, channel) in enumerate(zip(titles, channels, strict=True))
    ]
    connection = sqlite3.connect(path)
    try:
        connection.execute(
            "CREATE VIRTUAL TABLE titles USING fts5"
            "(title, channel, content='', tokenize='unicode61 remove_diacritics 2', prefix='1 2 3')"
        )
        connection.executemany("INSERT INTO titles (rowid, title, channel) VALUES (?, ?, ?)", entries)
        connection.execute("INSERT INTO titles (titles) VALUES ('optimize')")
        connection.commit()
    finally:
        connection.close()


def _text(text: str) -> str:
    return " ".join(words(text if text != c.UNKNOWN else ""))


class TitleSearch:
    """Reads `search.sqlite`. Safe for many threads: one connection each."""

    def __init__(self, directory: Path) -> None:
        """Raises ReleaseRefused when the file is missing or not a search index."""
        self._uri = f"{(directory / FILE).absolute().as_uri()}?mode=ro&immutable=1"
        self._local = threading.local()
        try:
            self._connection().execute("SELECT rowid FROM titles LIMIT 1").fetchall()
        except sqlite3.Error as error:
            raise ReleaseRefused(f"{directory / FILE} cannot be searched: {error}") from error

    def rows(self, text: str, k: int) -> NDArray[np.int32]:
        """i32[≤ k] catalogue rows, best match first (BM25, titles count double); none for a text without words."""
        wanted = words(text)[:_MAX_WORDS]
        if not wanted or k <= 0:
            return np.empty(0, dtype=np.int32)
        match = " ".join(f'"{word}"*' for word in wanted)
        sql = "SELECT rowid - 1 FROM titles WHERE titles MATCH ? ORDER BY bm25(titles, 2.0, 1.0), rowid LIMIT ?"
        found = self._connection().execute(sql, (match, min(k, _MOST))).fetchall()
        return np.array([row for (row,) in found], dtype=np.int32)

    def _connection(self) -> sqlite3.Connection:
        connection = getattr(self._local, "connection", None)
        if connection is None:
            connection = self._local.connection = sqlite3.connect(self._uri, uri=True)
        return connection


@dataclass(frozen=True)
class LongerSearch:
    """TitleSearch over videos that came after its file was written, too: those first, latest first, then what the file has."""

    written: TitleSearch
    num_written: int
    newer: tuple[frozenset[str], ...] = ()
    """Words of title and channel of each row that follows, without case and diacritics."""

    def with_more(self, videos: pl.DataFrame) -> "LongerSearch":
        """The same with further videos at the end."""
        titles, channels = (videos[name].to_list() for name in (c.TITLE, c.CHANNEL))
        more = (frozenset(_plain(f"{_text(title)} {_text(channel)}")) for title, channel in zip(titles, channels, strict=True))
        return replace(self, newer=(*self.newer, *more))

    def rows(self, text: str, k: int) -> NDArray[np.int32]:
        """See TitleSearch."""
        wanted, written = _plain(text)[:_MAX_WORDS], self.written.rows(text, k)
        if not wanted or k <= 0:
            return written
        found = [i for i, have in enumerate(self.newer) if all(any(word.startswith(w) for word in have) for w in wanted)]
        return np.concatenate([self.num_written + np.array(found[::-1], dtype=np.int32), written])[:k].astype(np.int32)


def _plain(text: str) -> list[str]:
    """Words without case and diacritics, as the file's tokenizer has them."""
    apart = unicodedata.normalize("NFKD", text.casefold())
    return words("".join(char for char in apart if not unicodedata.combining(char)))
