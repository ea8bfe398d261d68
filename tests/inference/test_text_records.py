"""Text files cut into pieces: the same records, whatever the blocks that a stream gives."""

import csv
import io
import itertools
import random

import pytest

from artifact_pipeline.inference import text_records


class Slow(io.BytesIO):
    """A stream that gives a few bytes at a time, as a pipe does."""

    def __init__(self, data, size):
        super().__init__(data)
        self._size = size

    def read(self, size=-1):
        return super().read(self._size)


def records(data, *, rows=3, size=1 << 20, start=b"", delimiter=b","):
    """Return the records of each piece, and the line that it begins in."""
    pieces = []
    stream = Slow(data[len(start) :], size)
    for piece in text_records.cut(stream, rows=rows, delimiter=delimiter, start=start):
        ends = [0, *piece.ends.tolist()]
        texts = [piece.data[a:b] for a, b in itertools.pairwise(ends)]
        pieces.append(([text.lstrip(b"\r\n") for text in texts], piece.line))
    return pieces


@pytest.mark.parametrize("end", ["\n", "\r\n", "\r"])
def test_the_records_are_those_of_the_csv_module_in_blocks_of_any_size(end):
    seeded = random.Random(0)
    cells = ["a", "", '"q"', '"x,y"', f'"l{end}m"', '"d""e"', '5"', 'a"b"']
    for _ in range(120):
        lines = [f"{seeded.choice(cells)},{seeded.choice(cells)}" for _ in range(9)]
        text = "".join(line + end * seeded.choice([1, 1, 2]) for line in lines)
        expected = [row for row in csv.reader(io.StringIO(text, newline="")) if row]
        at_once = records(text.encode())
        got = [record for texts, _ in at_once for record in texts]
        assert [next(csv.reader(io.StringIO(one.decode(), newline=""))) for one in got] == expected
        size, begin = seeded.randrange(1, 9), seeded.randrange(len(text))
        assert records(text.encode(), size=size, start=text.encode()[:begin]) == at_once


def test_a_piece_ends_where_it_has_enough_bytes(monkeypatch):
    monkeypatch.setattr(text_records, "MAX_PIECE", 8)
    data = b"1,2\n3,4\n5,6\n" + b"7,%b\n" % (b"8" * 20) + b"9,0\n"
    lines = [line + b"\n" for line in data.splitlines()]
    expected = [(lines[:2], 0), (lines[2:4], 2), (lines[4:], 4)]
    assert records(data) == records(data, size=1) == expected
