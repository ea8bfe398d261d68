"""The cells of a column of text, where equal texts can be looked at once."""

from __future__ import annotations

import functools
from typing import TYPE_CHECKING, Any, NamedTuple

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

_MIN_ROWS = 1000
"""With fewer rows, finding equal texts costs more than it saves."""
_SAMPLE = 1 << 16
"""The number of rows that show whether a column repeats its texts."""


class TextCells(NamedTuple):
    """A column of text as the texts to look at, and the rows that hold each of them."""

    column: Any
    """Arrow's column, a cell per row."""
    texts: Any
    """The distinct texts in the order of their first rows, or all cells."""
    codes: NDArray[Any] | None = None
    """(n_rows,) the index of each row's text in `texts`, -1 for null; None if `texts` is all
    cells."""

    @property
    def known(self) -> int:
        """The number of rows with a text."""
        return len(self.column) - int(self.column.null_count)

    def count(self, mask: Any) -> int:
        """Return the number of rows whose text is true in a mask of `texts`."""
        import numpy as np
        import pyarrow as pa
        import pyarrow.compute as pc

        if self.codes is None or not pc.any(mask).as_py():
            return int(pc.sum(mask).as_py() or 0)
        true = buffer(mask.cast(pa.uint8()), "uint8")
        return int(np.count_nonzero(self.spread(true, null=0)))

    def first(self, mask: Any) -> tuple[int, str]:
        """Return the first row whose text is true in a mask of `texts`, and the text."""
        import pyarrow.compute as pc

        index = pc.index(mask, True).as_py()
        return self.row(index), self.texts[index].as_py()

    def rows(self, mask: Any) -> NDArray[Any]:
        """Return the rows whose text is true in a mask of `texts`."""
        import numpy as np
        import pyarrow as pa

        true = buffer(mask.fill_null(False).cast(pa.uint8()), "uint8")
        return np.flatnonzero(self.spread(true, null=0))

    def row(self, index: int) -> int:
        """Return the first row with one of `texts`."""
        return index if self.codes is None else int((self.codes == index).argmax())

    def spread(self, values: NDArray[Any], *, null: Any) -> NDArray[Any]:
        """Return the value of each row, (n_rows,).

        Args:
            values: (n_texts,) the value of each text.
            null: That of a row without a text.
        """
        import numpy as np

        if self.codes is None:
            return values
        spread: NDArray[Any] = np.append(values, np.array([null], dtype=values.dtype))[self.codes]
        return spread


def text_cells(column: Any) -> TextCells:
    """Return the cells of a column of Arrow's text, by distinct text if it repeats them.

    Args:
        column: Texts, or a dictionary of texts as `table_parquet` returns it.
    """
    import numpy as np
    import pyarrow as pa

    if len(column) < _MIN_ROWS or (len(column) > _SAMPLE and not repeats(column.slice(0, _SAMPLE))):
        return _all_cells(column)
    encoded = [_encoded(chunk) for chunk in column.chunks]
    distinct = pa.chunked_array([chunk.dictionary for chunk in encoded]).dictionary_encode()
    # The dictionary of a later chunk begins with those of the chunks before.
    texts = pa.chunked_array(
        [chunk.dictionary for chunk in distinct.chunks[-1:]], distinct.type.value_type
    )
    if len(column) <= _SAMPLE and 2 * (len(texts) + bool(column.null_count)) > len(column):
        return _all_cells(column)
    indices = pa.chunked_array([chunk.indices for chunk in distinct.chunks], pa.int32())
    numbers = buffer(indices.fill_null(-1), "int32")
    codes = np.empty(len(column), dtype=np.int32)
    row = first = 0
    # One chunk after the other, since a temporary copy of a large column is slow.
    for chunk in encoded:
        by_index = np.append(numbers[first : first + len(chunk.dictionary)], np.int32(-1))
        codes[row : row + len(chunk)] = by_index[view(chunk.indices.fill_null(-1), codes.dtype)]
        row, first = row + len(chunk), first + len(chunk.dictionary)
    return TextCells(column, texts, codes)


def _encoded(chunk: Any) -> Any:
    """Return texts as a dictionary of distinct ones in the order of their first rows."""
    import pyarrow as pa
    import pyarrow.types as t

    if not t.is_dictionary(chunk.type):
        return chunk.dictionary_encode()
    # That of a file may hold texts that no row has, in any order, and one of them twice.
    encoded = chunk.indices.dictionary_encode()
    return pa.DictionaryArray.from_arrays(
        encoded.indices, chunk.dictionary.take(encoded.dictionary)
    )


def _all_cells(column: Any) -> TextCells:
    import pyarrow.types as t

    plain = column.cast(column.type.value_type) if t.is_dictionary(column.type) else column
    return TextCells(plain, plain)


def repeats(column: Any) -> bool:
    """Return whether the texts of a column occur twice on average."""
    return 2 * len(column.unique()) <= len(column)


def empty_floats(length: int) -> NDArray[Any]:
    """Return an array without values, in memory of the C library.

    numpy takes huge pages, and fresh ones cost twice as much as others on a virtual machine.
    """
    import numpy as np
    import pyarrow as pa

    pool = pa.system_memory_pool()
    return np.frombuffer(pa.allocate_buffer(8 * length, memory_pool=pool), dtype=np.float64)


def floats(column: Any) -> NDArray[Any]:
    """Return a column of numbers as float64, with NaN where it is null."""
    import numpy as np
    import pyarrow as pa

    if column.type == pa.float64() and column.num_chunks == 1 and not column.null_count:
        values = view(column.chunk(0), np.dtype(np.float64))
        if values.flags.writeable:
            return values
    values = empty_floats(len(column))
    end = 0
    # One chunk after the other, since a temporary copy of a large column is slow.
    for chunk in column.chunks:
        begin, end = end, end + len(chunk)
        copy_floats(chunk, values[begin:end])
    return values


def copy_floats(chunk: Any, values: NDArray[Any]) -> None:
    """Copy numbers to an array of float64, as NaN where they are null."""
    import numpy as np
    import pyarrow as pa

    numbers = chunk.cast(pa.float64(), safe=False).fill_null(_nan())
    values[:] = view(numbers, np.dtype(np.float64))


@functools.cache
def _nan() -> Any:
    """Return NaN of Arrow from its bytes: to convert Python's, Arrow imports pandas."""
    import numpy as np
    import pyarrow as pa

    return pa.Array.from_buffers(pa.float64(), 1, [None, pa.py_buffer(np.array([np.nan]))])[0]


def buffer(column: Any, dtype: str) -> NDArray[Any]:
    """Return a column as a new array, with any value where it is null.

    Arrow's own conversions import pandas, even that of a single value.
    """
    import numpy as np

    chunks = [view(chunk, np.dtype(dtype)) for chunk in column.chunks]
    return np.concatenate(chunks) if chunks else np.empty(0, dtype=dtype)


def view(chunk: Any, dtype: np.dtype[Any]) -> NDArray[Any]:
    """Return a chunk of a column as an array on its memory, with any value where it is null."""
    import numpy as np

    if not len(chunk):
        return np.empty(0, dtype=dtype)
    offset = chunk.offset * dtype.itemsize
    return np.frombuffer(chunk.buffers()[1], dtype=dtype, count=len(chunk), offset=offset)
