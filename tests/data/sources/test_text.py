import csv
import io

import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from core.errors import BadInput, SchemaMismatch
from data.quarantine import LINE
from data.sources import text

CELL = st.text(st.sampled_from('",\n aé|\t'), max_size=8)


def read(tmp_path, data, spec=None, name="log.csv"):
    path = tmp_path / name
    path.write_bytes(data if isinstance(data, bytes) else data.encode())
    return text.read(path, spec)


def rows(table):
    return table.frame.select(table.columns).rows()


@settings(deadline=None, max_examples=60)
@given(st.lists(st.tuples(CELL, CELL, CELL), min_size=1, max_size=8))
def test_reads_back_what_the_csv_module_writes(tmp_path_factory, cells):
    out = io.StringIO()
    csv.writer(out, lineterminator="\n", quoting=csv.QUOTE_ALL).writerows([("a", "b", "c"), *cells])
    found = read(tmp_path_factory.mktemp("csv"), out.getvalue())
    assert rows(found) == [tuple(strip(cell) for cell in row) for row in cells]
    assert len(found.broken) == 0


def strip(cell):
    return pl.Series([cell]).str.strip_chars()[0]


def test_quotes_hold_delimiters_quotes_and_line_breaks(tmp_path):
    found = read(tmp_path, 'id,title\n1,"a, ""b"""\n2,"two\n\nlines"\n3,plain 7" single\n4,"open\n')
    assert rows(found) == [("1", 'a, "b"'), ("2", "two\n\nlines"), ("3", 'plain 7" single'), ("4", '"open')]
    assert found.frame[LINE].to_list() == [2, 3, 6, 7]


def test_a_quote_that_never_closes_costs_its_own_row_only(tmp_path):
    found = read(tmp_path, 'id,title\n1,"open\n2,b\n3,c "d" e\n4,f\n')
    assert [row[0] for row in rows(found)] == ["1", "2", "3", "4"]


def test_bom_crlf_and_blank_lines(tmp_path):
    found = read(tmp_path, "\ufeff\r\nid,title\r\n1,a\r\n\r\n2,b\r\n")
    assert found.columns == ["id", "title"]
    assert rows(found) == [("1", "a"), ("2", "b")]
    assert found.frame[LINE].to_list() == [3, 5]


@pytest.mark.parametrize("codec", ["utf-16", "utf-8-sig"])
def test_byte_order_marks_choose_the_encoding(tmp_path, codec):
    assert rows(read(tmp_path, "id,title\n1,Amélie\n".encode(codec))) == [("1", "Amélie")]


def test_a_latin_1_line_inside_utf_8_costs_a_warning(tmp_path):
    found = read(tmp_path, b"id,title\n1,Am\xc3\xa9lie\n2,Mis\xe9rables\n")
    assert rows(found) == [("1", "Amélie"), ("2", "Misérables")]
    assert found.warnings == ("log.csv: 1 lines are not UTF-8 and were read as Latin-1 (first: line 3)",)


def test_a_stated_encoding_replaces_what_it_cannot_read(tmp_path):
    spec = text.TextFormat(encoding="utf-8")
    assert rows(read(tmp_path, b"id,title\n2,Mis\xe9rables\n", spec)) == [("2", "Mis\ufffdrables")]
    with pytest.raises(BadInput, match="unknown encoding 'klingon'"):
        read(tmp_path, b"id\n1\n", text.TextFormat(encoding="klingon"))


def test_wrong_numbers_of_fields_are_set_aside_with_line_and_text(tmp_path):
    found = read(tmp_path, "a,b\n1,2\n3\n4,5,6\n7,8\n")
    assert rows(found) == [("1", "2"), ("7", "8")]
    assert found.broken.rows() == [
        ("log.csv", 3, "1 fields where 2 belong", "3"),
        ("log.csv", 4, "3 fields where 2 belong", "4,5,6"),
    ]
    assert found.num_read == 4


@pytest.mark.parametrize("data", [b"", b"\n\r\n  \n", b"\xef\xbb\xbf"])
def test_empty_files_say_so(tmp_path, data):
    with pytest.raises(BadInput, match=r"log\.csv is empty"):
        read(tmp_path, data)


def test_header_only_is_a_table_without_rows(tmp_path):
    found = read(tmp_path, "a,b")
    assert found.columns == ["a", "b"]
    assert (len(found.frame), found.num_read, len(found.broken)) == (0, 0, 0)


def test_a_missing_file_and_a_repeated_column(tmp_path):
    with pytest.raises(BadInput, match="does not exist"):
        text.read(tmp_path / "nowhere.csv")
    with pytest.raises(SchemaMismatch, match="two columns of the same name"):
        read(tmp_path, "a,a\n1,2\n")


@pytest.mark.parametrize(("delimiter", "line"), [("\t", "1\t2"), (";", "1;2"), ("|", "1|2"), (",", "1,2")])
def test_the_delimiter_is_the_one_the_header_holds(tmp_path, delimiter, line):
    assert rows(read(tmp_path, f"a{delimiter}b\n{line}\n")) == [("1", "2")]


def test_delimiters_of_several_characters(tmp_path):
    spec = text.TextFormat(delimiter="::", columns=("a", "b"), quote="")
    assert rows(read(tmp_path, '1::"x\n2::y:z\n', spec)) == [("1", '"x'), ("2", "y:z")]


def test_a_field_of_ten_megabytes(tmp_path):
    found = read(tmp_path, f'id,title\n1,"{"x" * 10_000_000}"\n')
    assert len(rows(found)[0][1]) == 10_000_000


def test_parquet_becomes_text(tmp_path):
    frame = pl.DataFrame({"id": [1, None], "ok": [True, False], "tags": [["a", "b"], []], "x": [1.5, 2.0]})
    frame.write_parquet(tmp_path / "log.parquet")
    found = text.read(tmp_path / "log.parquet")
    assert rows(found) == [("1", "1", "a|b", "1.5"), (None, "0", "", "2.0")]
    (tmp_path / "bad.parquet").write_bytes(b"not parquet")
    with pytest.raises(BadInput, match="not readable as Parquet"):
        text.read(tmp_path / "bad.parquet")


def test_a_glob_reads_all_parts(tmp_path):
    (tmp_path / "part-1.csv").write_text("a,b\n1,2\n")
    (tmp_path / "part-2.csv").write_text("b,a\n4,3\n5\n")
    found = text.read_all(tmp_path, "part-*.csv")
    assert rows(found) == [("1", "2"), ("3", "4")]
    assert (found.num_read, len(found.broken)) == (3, 1)
    with pytest.raises(BadInput, match=r"no file 'nothing\*' in .*found: part-1.csv, part-2.csv"):
        text.read_all(tmp_path, "nothing*")


def test_a_wrong_column_name_gets_the_nearest_match(tmp_path):
    found = read(tmp_path, "User_ID,movie\n1,2\n")
    with pytest.raises(SchemaMismatch, match=r"no column 'userid' \(events.viewer_id\); did you mean 'User_ID'\?"):
        text.require(found, "userid", "events.viewer_id")
    assert text.first_present(found, ("viewer", "user_id")) == "User_ID"
