"""A Hudi table as an Arrow dataset: what a query leaves out stays on disk.

A table is a set of file slices: a base file, and the log files that came after it. A slice without logs
is plain Parquet, opened by column and row group; one with logs is merged by hudi-rs when its turn comes,
and let go before the next. Slices whose partition (symbol, date) a filter rules out are never opened.
"""

from collections.abc import Iterable, Iterator, Sequence
from typing import Any, Self

import pyarrow as pa
import pyarrow.dataset as ds
from hudi import HudiFileSlice, HudiReadOptions, HudiTable
from pyarrow import fs

_META = "_hoodie_"
_PARQUET = ds.ParquetFileFormat()


def schema_of(table: HudiTable) -> pa.Schema:
    """Return a table's columns without Hudi's own."""
    return pa.schema(
        [item for item in pa.schema(table.get_schema()) if not item.name.startswith(_META)]
    )


class SliceDataset(ds.InMemoryDataset):  # type: ignore[misc] # pyarrow has no types
    """The rows of one table as of one moment; DuckDB and Polars push columns and filters into it.

    pyarrow cannot be told of slices that are merged on the fly, so this is an empty dataset with the
    table's schema whose scanner is our own; all that reads a dataset asks for that.
    """

    _table: HudiTable
    _options: HudiReadOptions
    _merged: dict[str, HudiFileSlice]
    _plain_files: ds.FileSystemDataset
    _merged_files: ds.FileSystemDataset

    @classmethod
    def of(
        cls, table: HudiTable, options: HudiReadOptions, system: fs.FileSystem, path: str
    ) -> Self:
        """Return the dataset of a table that lies under `path`; `options` may name an instant."""
        self = cls(schema_of(table).empty_table())
        self._table, self._options = table, options
        slices = table.get_file_slices(options)
        self._merged = {_place(path, item): item for item in slices if item.has_log_files()}
        plain = [item for item in slices if not item.has_log_files()]
        self._plain_files = _files(plain, self.schema, system, path)
        # Only to tell which of them a filter leaves over; they are read by hudi-rs.
        self._merged_files = _files(self._merged.values(), self.schema, system, path)
        return self

    def scanner(
        self,
        columns: Sequence[str] | None = None,
        filter: ds.Expression | None = None,  # noqa: A002 - pyarrow's name
        **_options: Any,
    ) -> ds.Scanner:
        """Return a scanner of some columns (all without) of the rows that pass the filter."""
        wanted = self.schema.names if columns is None else list(columns)
        schema = pa.schema([self.schema.field(name) for name in wanted])
        batches = self._batches(wanted, filter)
        return ds.Scanner.from_batches(pa.RecordBatchReader.from_batches(schema, batches))

    def _batches(self, columns: list[str], where: ds.Expression | None) -> Iterator[pa.RecordBatch]:
        yield from self._plain_files.to_batches(columns=columns, filter=where)
        reader = self._table.create_file_group_reader_with_options(self._options)
        for fragment in self._merged_files.get_fragments(where):
            merged = reader.read_file_slice(self._merged[fragment.path], self._options)
            rows = pa.Table.from_batches([merged]).select(self.schema.names).cast(self.schema)
            yield from ds.InMemoryDataset(rows).to_batches(columns=columns, filter=where)


def _files(
    slices: Iterable[HudiFileSlice], schema: pa.Schema, system: fs.FileSystem, path: str
) -> ds.FileSystemDataset:
    partitions = ds.HivePartitioning(pa.schema([schema.field("symbol"), schema.field("date")]))
    fragments = [
        _PARQUET.make_fragment(
            _place(path, item), system, partitions.parse(f"/{item.partition_path}/")
        )
        for item in slices
    ]
    return ds.FileSystemDataset(fragments, schema, _PARQUET, system)


def _place(path: str, item: HudiFileSlice) -> str:
    return f"{path}/{item.base_file_relative_path()}"
