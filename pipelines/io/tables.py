"""Tables: Parquet files written a row group at a time, so that memory is bounded, and
read by column."""

from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from typing import IO, Any

import pyarrow as pa
import pyarrow.parquet as pq

from pipelines.io import files
from schemas.row import to_table

ROWS_PER_GROUP = 256
# Without dictionaries real songs take a fifth less room and half the time: their columns
# are long lists of numbers.
PARQUET: dict[str, Any] = {"compression": "zstd", "use_dictionary": False}


class TableWriter:
    """Rows to one Parquet file, a row group at a time."""

    def __init__(self, stream: IO[bytes], schema: pa.Schema) -> None:
        self._schema = schema
        self._rows = list[Mapping[str, Any]]()
        self._writer = pq.ParquetWriter(stream, schema, **PARQUET)

    def add(self, row: Mapping[str, Any]) -> None:
        """One row; every ROWS_PER_GROUP of them are written."""
        self._rows.append(row)
        if len(self._rows) == ROWS_PER_GROUP:
            self._flush()

    def note(self, metadata: Mapping[bytes, str]) -> None:
        """Facts for the file's footer."""
        self._writer.add_key_value_metadata(dict(metadata))

    def close(self) -> None:
        """Write what is left, and the footer."""
        if self._rows:
            self._flush()
        self._writer.close()

    def _flush(self) -> None:
        self._writer.write_table(
            to_table(self._rows, self._schema), row_group_size=ROWS_PER_GROUP
        )
        self._rows.clear()


@contextmanager
def table_writer(path: str, schema: pa.Schema) -> Iterator[TableWriter]:
    """A TableWriter whose file appears when the block ends well."""
    with files.atomic(path) as stream:
        writer = TableWriter(stream, schema)
        yield writer
        writer.close()


def write_rows(path: str, schema: pa.Schema, rows: Iterable[Mapping[str, Any]]) -> None:
    """A small table as one file."""
    with table_writer(path, schema) as writer:
        for row in rows:
            writer.add(row)


def write_table(path: str, table: pa.Table) -> None:
    """A small Arrow table as one file."""
    with files.atomic(path) as stream:
        pq.write_table(table, stream, **PARQUET)


def read_columns(path: str, columns: list[str] | None = None) -> pa.Table:
    """Some columns of one Parquet file, local or not; all where none is named."""
    with files.open_input(path) as stream:
        return pq.read_table(stream, columns=columns)
