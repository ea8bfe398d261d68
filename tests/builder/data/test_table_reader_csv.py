"""CSV files: cells match Python's csv module and pandas, or the file is refused."""

import csv
import io

import pandas as pd
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from artifact_pipeline.builder.config.values import Csv
from artifact_pipeline.builder.data import table_reader
from artifact_pipeline.builder.data.table_csv import BLOCK
from artifact_pipeline.errors import DataError

MIB = 1 << 20
cells = st.text(st.sampled_from('ab",;\n\r é0'), max_size=6)


def read(data, **how):
    return table_reader.read([("t.csv", data)], "csv", csv=Csv(**how))


def texts(data, **how):
    """Return each row as texts, a missing one empty."""
    table = read(data, **how).table
    columns = [[one or "" for one in column.to_pylist()] for column in table.columns]
    return [list(row) for row in zip(*columns, strict=True)]


@given(
    st.lists(st.tuples(cells, cells, cells), min_size=1, max_size=8),
    st.sampled_from(["\n", "\r\n", "\r"]),
    st.sampled_from([csv.QUOTE_MINIMAL, csv.QUOTE_ALL]),
    st.sampled_from(["utf-8", "utf-8-sig", "utf-16"]),
)
def test_rows_match_the_csv_module(rows, end, quoting, encoding):
    if end != "\r\n":  # csv writes the other half of one without quotes
        quoting = csv.QUOTE_ALL
    stream = io.StringIO(newline="")
    writer = csv.writer(stream, lineterminator=end, quoting=quoting)
    writer.writerows([("x", "y", "z"), *rows])
    written = stream.getvalue()
    expected = list(csv.reader(io.StringIO(written, newline="")))[1:]
    assert texts(written.encode(encoding), encoding=encoding) == expected


@settings(max_examples=300)
@given(st.text(st.sampled_from('a,"\n\r '), max_size=24))
@example('1,"x"y\n2,z')
@example('1,2"" wide\n2,"3"" wide"')
@example('"a\n"b,c\nd,e')
@example('1,"n1\n2,"n2"\n')
def test_any_text_matches_csv_and_pandas_or_is_refused(body):
    data = ("x,y\n" + body).encode()
    try:
        found = texts(data)
    except DataError:
        return
    assert found == [row for row in csv.reader(io.StringIO(body, newline="")) if row]
    if "\r" in body:  # pandas loses a row that begins with a delimiter behind a blank line
        return
    expected = pd.read_csv(io.BytesIO(data), dtype=str, keep_default_na=False)
    if len(found[0]) == 3:  # the rows begin with a name of their own
        expected = expected.reset_index().astype(str)
    assert found == expected.to_numpy().tolist()


@given(st.text(st.sampled_from('a,"\n'), max_size=16))
def test_an_unclosed_quote_by_pandas_rules_is_refused(body):
    data = f"x,y\n{body}".encode()
    try:
        pd.read_csv(io.BytesIO(data), dtype=str)
    except pd.errors.ParserError as error:
        if "EOF inside string" not in str(error):
            return
        with pytest.raises(DataError, match=r"t\.csv, line \d+: a quote is opened here"):
            read(data)
    except pd.errors.EmptyDataError:
        return


@pytest.mark.parametrize(
    ("data", "line"),
    [
        (b'a,b\n1,"x\n2,y\n', 2),
        (b'a,b\r\n1,x\r\n2,"y\r\n3,z', 3),
        (b'a,b\r1,x\r2,"y\r', 3),
        (b'a,b\n1,"multi\nline"\n"2,y\n', 4),
        (b'a,"b\n1,2\n', 1),
        (b'a,b\n1,5" pipe\n2,"6"" pipe\n', 3),
        (b'a,b\n1,"x\n2,"y"\n3,z\n', 2),  # closed by a quote that opens another cell
        (b'a,b\n1,"x\n2,"y\n3,z\n', 2),
        (b'a,b\n1,x\n"', 3),
        ('a;b\n1;ü\n2;"y\n'.encode("latin-1"), 3),
        (b"a,b\n1," + b"x" * 3 * MIB + b'\n2,"y\n3,z\n', 3),
        (b"a,b\n" + b"1,2\n" * 9 + b'3,"4' + b"\n1,2" * 50_000, 11),
    ],
)
def test_an_unclosed_quote_is_refused_by_line(data, line):
    how = {"delimiter": ";", "encoding": "latin-1"} if b";" in data else {}
    with pytest.raises(DataError, match=rf"t\.csv, line {line}: a quote is opened here"):
        read(data, **how)


def test_quotes_inside_a_cell_without_quotes_are_text():
    data = b'a,b\n5" pipe,x"y"\n"6"" pipe",say ""hi""\n'
    assert texts(data) == [['5" pipe', 'x"y"'], ['6" pipe', 'say ""hi""']]


@pytest.mark.parametrize("end", [b"\r\n", b"\n", b"\r"])
@pytest.mark.parametrize("off", range(-3, 4))
def test_a_line_end_in_a_quoted_cell_keeps_its_bytes(end, off):
    head = b"a,b" + end + b'"'
    cell = b"z" * (BLOCK - len(head) + off) + b"A" + end + b"B"
    found = texts(head + cell + b'",1' + end + b"x,2" + end)
    assert found == [[cell.decode(), "1"], ["x", "2"]]


@pytest.mark.parametrize("off", range(-3, 4))
def test_line_ends_outside_of_quotes_separate_rows(off):
    head = b"a,b\r\n"
    cell = b"z" * (BLOCK - len(head) + off)
    assert texts(head + cell + b",1\r\nx,2\r\n") == [[cell.decode(), "1"], ["x", "2"]]


@pytest.mark.parametrize("quote", [b"", b'"'])
def test_a_cell_of_several_megabytes_is_read(quote):
    cell = b"z" * 5 * MIB
    data = b"a,b\n1,x\n2," + quote + cell + quote + b"\n3,y\n"
    assert texts(data) == [["1", "x"], ["2", cell.decode()], ["3", "y"]]


def test_nul_bytes_are_refused_by_line():
    with pytest.raises(DataError, match=r"t\.csv, line 5002: contains NUL bytes"):
        read(b"a,b\n" + b"1,2\n" * 5000 + b"1,\0\n")


@pytest.mark.parametrize(
    ("header", "names", "index"),
    [
        (b",a,b", ["Unnamed: 0", "a", "b"], ("Unnamed: 0",)),
        (b'"",a,b', ["Unnamed: 0", "a", "b"], ("Unnamed: 0",)),
        (b'" ",a,b', ["Unnamed: 0", "a", "b"], ("Unnamed: 0",)),
        (b"Unnamed: 0,a,b", ["Unnamed: 0", "a", "b"], ("Unnamed: 0",)),
        (b",Unnamed: 0,b", ["Unnamed: 0.1", "Unnamed: 0", "b"], ("Unnamed: 0.1", "Unnamed: 0")),
        (b"a,b", ["Unnamed: 0", "a", "b"], ("Unnamed: 0",)),  # R's write.table
        (b"\xef\xbb\xbf,a,b", ["Unnamed: 0", "a", "b"], ("Unnamed: 0",)),
        (b"a,Unnamed: 1,b", ["a", "Unnamed: 1", "b"], ()),
        (b",,b", ["Unnamed: 0", "Unnamed: 1", "b"], ("Unnamed: 0", "Unnamed: 1")),  # of two levels
    ],
)
def test_a_first_column_without_a_name_is_an_index(header, names, index):
    raw = read(header + b"\n7,1,2\n8,3,4\n")
    assert raw.table.column_names == names and raw.index_columns == index
    assert raw.table.column(0).to_pylist() == ["7", "8"]


def test_row_names_written_by_r_are_an_index():
    """`write.table` as it is, with a comma, and `write.csv`."""
    for data, delimiter in (
        (b'"a" "b"\n"1" 2 "x"\n"2" 3 "y z"\n', " "),
        (b'"a","b"\n"1",2,"x"\n"2",3,"y z"\n', ","),
        (b'"","a","b"\n"1",2,"x"\n"2",3,"y z"\n', ","),
    ):
        raw = read(data, delimiter=delimiter)
        assert raw.index_columns == ("Unnamed: 0",)
        assert texts(data, delimiter=delimiter) == [["1", "2", "x"], ["2", "3", "y z"]]


def test_an_index_written_by_pandas_is_recognized():
    frame = pd.DataFrame({"a": [1, 2], "b": ["x", 'y "z"']})
    raw = read(frame.to_csv().encode())
    assert raw.index_columns == ("Unnamed: 0",)
    twice = pd.read_csv(io.BytesIO(frame.to_csv().encode())).to_csv().encode()
    assert read(twice).index_columns == ("Unnamed: 0.1", "Unnamed: 0")
    assert read(twice).table.column("b").to_pylist() == ["x", 'y "z"']


@pytest.mark.parametrize(
    ("data", "said"),
    [
        (b"a,b\n1,2,\n3,4,\n", "row 1: found 3 cells, expected 2"),
        (b"a,b\n1,2,3\n3,4\n", "row 1: found 3 cells, expected 2"),
        (b"a,b\n1,2\n3,4,5\n", "row 2: found 3 cells, expected 2"),
        (b"a,b\n1,2,3,4\n", "row 1: found 4 cells, expected 2"),
        (b"a,,b\n1,2,3\n", "column 2 has no name"),
        (b"a,b,\n1,2,3\n", "column 3 has no name"),
        ("a§b\n1§2\n".encode(), "expected an ASCII character as data.csv.delimiter"),
    ],
)
def test_extra_cells_are_not_an_index(data, said):
    how = {"delimiter": "§"} if "§".encode() in data else {}
    with pytest.raises(DataError) as caught:
        read(data, **how)
    assert said in str(caught.value)
