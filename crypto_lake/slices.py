"""A Hudi table as an Arrow dataset: what a query leaves out stays on disk.

A table is a set of file slices: a base file, and the log files that came after it. A slice without logs
is plain Parquet, opened by column and row group; one with logs is merged by hudi-rs when its turn comes,
and let go before the next. Slices whose partition (symbol, date) a filter rules out are never opened.
"""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import pyarrow as pa
import pyarrow.dataset as ds
from hudi import HudiFileGroupReader, HudiFileSlice, HudiReadOptions, HudiTable
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
    table's schema whose scanner is our own. DuckDB, Polars and `to_table`, `to_batches`, `head` and
    `count_rows` ask for that; pyarrow's other methods (`sort_by`, `get_fragments`) see no rows.
    """

    def __init__(
        self, table: HudiTable, options: HudiReadOptions, system: fs.FileSystem, path: str
    ) -> None:
        """Find the slices of a table that lies under `path`; `options` may name an instant."""
        super().__init__(schema_of(table).empty_table())
        self._table, self._options = table, options
        plain: dict[str, HudiFileSlice] = {}
        self._merged: dict[str, HudiFileSlice] = {}
        for item in table.get_file_slices(options):
            if item.has_log_files():
                self._merged[f"{item.partition_path}/{item.file_id}"] = item
            else:
                plain[f"{path}/{item.base_file_relative_path()}"] = item
        self._plain_files = _files(plain, self.schema, system)
        # Only to tell which of them a filter leaves over; they are read by hudi-rs.
        self._merged_files = _files(self._merged, self.schema, system)

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
        # A filter may ask for more columns than are wanted, and does not say for which.
        names = self.schema.names if where is not None or not columns else columns
        options = self._options.with_projection(names)
        reader = self._table.create_file_group_reader_with_options(options)
        schema = pa.schema([self.schema.field(name) for name in names])
        for fragment in self._merged_files.get_fragments(where):
            merged = _merge(reader, self._merged[fragment.path], options)
            rows = pa.Table.from_batches([merged]).select(names).cast(schema)
            yield from ds.InMemoryDataset(rows).to_batches(columns=columns, filter=where)


def _merge(
    reader: HudiFileGroupReader, item: HudiFileSlice, options: HudiReadOptions
) -> pa.RecordBatch:
    if item.base_file_name:
        return reader.read_file_slice(item, options)
    # Hudi lets the first rows of a slice go to a log; `read_file_slice` asks for a base file.
    return reader.read_file_slice_from_paths("", item.log_files_relative_paths(), options)


def _files(
    slices: Mapping[str, HudiFileSlice], schema: pa.Schema, system: fs.FileSystem
) -> ds.FileSystemDataset:
    """Return slices by their place as files that a filter on symbol and date can rule out."""
    partitions = ds.HivePartitioning(pa.schema([schema.field("symbol"), schema.field("date")]))
    fragments = [
        _PARQUET.make_fragment(place, system, partitions.parse(f"/{item.partition_path}/"))
        for place, item in slices.items()
    ]
    return ds.FileSystemDataset(fragments, schema, _PARQUET, system)
