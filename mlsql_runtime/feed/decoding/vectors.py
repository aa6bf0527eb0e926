"""Convert Spark's vectors from and to Arrow structs.

A ``VectorUDT`` column is ``struct<type: int8, size: int32, indices: list<int32>, values: list<float64>>``: type 0 is
sparse with all four, type 1 dense with ``values`` only (``pyspark.ml.linalg.VectorUDT``). Only
:func:`iter_serialized`, whose contract is rows, loops over rows in Python.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from mlsql_runtime.errors import DataError, InputError

if TYPE_CHECKING:
    from scipy.sparse import csr_matrix

# As read from files, where any field may be missing …
VECTOR_TYPE = pa.struct(
    {"type": pa.int8(), "size": pa.int32(), "indices": pa.list_(pa.int32()), "values": pa.list_(pa.float64())}
)
# … and exactly as Spark declares it, so that Spark takes our arrays without casting them.
SPARK_VECTOR_TYPE = pa.struct(
    [
        pa.field("type", pa.int8(), nullable=False),
        pa.field("size", pa.int32()),
        pa.field("indices", pa.list_(pa.field("element", pa.int32(), nullable=False))),
        pa.field("values", pa.list_(pa.field("element", pa.float64(), nullable=False))),
    ]
)
SPARSE, DENSE = 0, 1
_NULL = -1
SerializedVector = tuple[int, "int | None", "list[int] | None", "list[float]"]


def is_vector(kind: pa.DataType) -> bool:
    """Return whether an Arrow type is that of a Spark vector column."""
    return pa.types.is_struct(kind) and {field.name for field in kind} == {"type", "size", "indices", "values"}


def vector_widths(vectors: pa.StructArray) -> np.ndarray[Any, np.dtype[np.int64]]:
    """Return the width of each vector, shape (n,), int64; -1 for null."""
    kinds = _kinds(vectors)
    found = np.where(kinds == DENSE, _lengths(_field(vectors, "values")), _with_nulls(_field(vectors, "size")))
    found[kinds == _NULL] = _NULL
    return found


def common_width(vectors: pa.StructArray, expected: int | None, what: str) -> int:
    """Return the common width of all vectors that are not null; ``expected`` or 0 when all are null.

    :raises DataError: with both widths, when they differ from each other or from ``expected``.
    """
    found = np.unique(vector_widths(vectors))
    found = found[found >= 0]
    wanted = expected if expected is not None else (int(found[0]) if len(found) else 0)
    wrong = found[found != wanted]
    if len(wrong):
        hint = f"; for libsvm files, give load the option numFeatures={wanted}" if has_sparse(vectors) else ""
        message = f"{what}: expected vectors of width {wanted}, got one of width {int(wrong[0])}{hint}"
        raise DataError(message, expected=wanted, found=int(wrong[0]))
    return wanted


def check_sparse(vectors: pa.StructArray, what: str) -> None:
    """Check that each sparse vector has an index for each value, within its size: others than Spark may have written it.

    :raises DataError: for the first that has not.
    """
    sparse = vectors.filter(pc.equal(_field(vectors, "type"), SPARSE))
    if not len(sparse):
        return
    indices, counts = _field(sparse, "indices"), _lengths(_field(sparse, "indices"))
    if (counts != _lengths(_field(sparse, "values"))).any() or indices.flatten().null_count:
        raise DataError(f"{what}: a sparse vector has another number of indices than of values")
    places, sizes = to_numpy(indices.flatten()), np.repeat(_with_nulls(_field(sparse, "size")), counts.clip(min=0))
    if len(wrong := np.flatnonzero((places < 0) | (places >= sizes))):
        raise DataError(f"{what}: a sparse vector of size {sizes[wrong[0]]} has the index {places[wrong[0]]}")


def all_sparse(vectors: pa.StructArray) -> bool:
    """Return whether every vector is sparse, and there is at least one."""
    return len(vectors) > 0 and bool((_kinds(vectors) != DENSE).all())


def has_sparse(vectors: pa.StructArray) -> bool:
    """Return whether any vector is sparse."""
    return bool((_kinds(vectors) == SPARSE).any())


def _field(vectors: pa.StructArray, name: str) -> pa.Array:
    """Return a field of each vector; null where the vector is."""
    return pc.struct_field(vectors, name) if vectors.null_count else vectors.field(name)


def _kinds(vectors: pa.StructArray) -> np.ndarray[Any, np.dtype[np.int64]]:
    """Return SPARSE, DENSE or _NULL for each vector, shape (n,)."""
    return _with_nulls(_field(vectors, "type"))


def _with_nulls(array: pa.Array) -> np.ndarray[Any, np.dtype[np.int64]]:
    """Copy integers to int64, with _NULL for null."""
    if not array.null_count:
        return np.from_dlpack(array).astype(np.int64)
    known = np.from_dlpack(pc.cast(array.is_valid(), pa.uint8())).view(np.bool_)
    found = np.full(len(array), _NULL)
    found[known] = np.from_dlpack(array.drop_null())
    return found


def to_numpy(array: pa.Array) -> np.ndarray[Any, Any]:
    """Return numbers without nulls as a view of Arrow's memory, others by Arrow's own ``to_numpy``, which imports pandas."""
    kind = array.type
    if array.null_count or not (pa.types.is_integer(kind) or pa.types.is_floating(kind)):
        return np.asarray(array.to_numpy(zero_copy_only=False))
    return np.from_dlpack(array)


def _flat(lists: pa.ListArray) -> tuple[np.ndarray[Any, Any], np.ndarray[Any, Any]]:
    """Return the values of all lists without gaps, and where each list begins, shape (n + 1,); a null list is empty."""
    return to_numpy(lists.flatten()), np.concatenate(([0], np.cumsum(_lengths(lists).clip(min=0))))


def _lengths(lists: pa.ListArray) -> np.ndarray[Any, np.dtype[np.int64]]:
    """Return the length of each list, shape (n,); _NULL for null."""
    if lists.null_count:
        return _with_nulls(pc.list_value_length(lists))
    return np.diff(np.from_dlpack(lists.offsets)).astype(np.int64)


def _csr_matrix() -> type[csr_matrix]:
    """Return SciPy's class.

    :raises InputError: when a script's interpreter has no SciPy.
    """
    try:
        from scipy.sparse import csr_matrix
    except ImportError as error:
        raise InputError(
            "sparse vectors become a SciPy matrix, and this interpreter has no scipy; install it, or ask for sparse=False"
        ) from error
    found: type[csr_matrix] = csr_matrix
    return found


def to_csr(vectors: pa.StructArray, width: int) -> csr_matrix:
    """Return sparse vectors as a CSR matrix of shape (n, width), float64; the values are not copied."""
    csr_matrix = _csr_matrix()
    values, offsets = _flat(_field(vectors, "values"))
    indices, _ = _flat(_field(vectors, "indices"))
    return csr_matrix((values, indices, offsets), shape=(len(vectors), width))


def to_dense(vectors: pa.StructArray, width: int) -> np.ndarray[Any, np.dtype[np.float64]]:
    """Return vectors of either kind as an array of shape (n, width), float64; a view of Arrow's memory if all are dense."""
    if (_kinds(vectors) == DENSE).all():
        return to_numpy(_field(vectors, "values").flatten()).reshape(len(vectors), width)
    dense = np.zeros((len(vectors), width))
    fill_dense(dense, vectors)
    return dense


def fill_dense(dense: np.ndarray[Any, np.dtype[np.float64]], vectors: pa.StructArray) -> None:
    """Write vectors of either kind into a contiguous array of zeros, shape (n, width); the row of a null vector stays zero."""
    kinds, width = _kinds(vectors), dense.shape[1]
    values, starts = _flat(_field(vectors, "values"))
    if (kinds == DENSE).all():
        dense[:] = values.reshape(len(vectors), width)
        return
    place = np.repeat(np.arange(len(vectors)) * width, np.diff(starts))  # in the flat array, of each value
    indices, _ = _flat(_field(vectors, "indices"))
    if not (kinds == DENSE).any():
        place += indices
    else:
        is_sparse = np.repeat(kinds == SPARSE, np.diff(starts))
        place[is_sparse] += indices
        place[~is_sparse] += np.tile(np.arange(width), int((kinds == DENSE).sum()))
    dense.reshape(-1)[place] = values


def to_matrix(vectors: pa.StructArray, width: int, sparse: bool | None = None) -> Any:
    """Return a CSR matrix or an ndarray of shape (n, width), as ``sparse`` says; None: CSR if every vector is sparse."""
    if sparse is None:
        sparse = all_sparse(vectors)
    if not sparse:
        return to_dense(vectors, width)
    if all_sparse(vectors):
        return to_csr(vectors, width)
    csr_matrix = _csr_matrix()
    known = split_vectors(vectors)
    return csr_matrix((known.values, known.columns, known.starts), shape=(len(vectors), width))


def iter_serialized(vectors: pa.StructArray) -> Iterator[SerializedVector | None]:
    """Yield each row as ``VectorUDT().serialize`` returns it: ``(0, size, indices, values)`` or ``(1, None, None, values)``."""
    kinds = pc.struct_field(vectors, "type").to_pylist()
    sizes = pc.struct_field(vectors, "size").to_pylist()
    indices, at = _flat(_field(vectors, "indices"))
    values, start = _flat(_field(vectors, "values"))
    index_list, value_list = indices.tolist(), values.tolist()
    for row, kind in enumerate(kinds):
        if kind is None:
            yield None
        elif kind == SPARSE:
            yield SPARSE, sizes[row], index_list[at[row] : at[row + 1]], value_list[start[row] : start[row + 1]]
        else:
            yield DENSE, None, None, value_list[start[row] : start[row + 1]]


def from_serialized(rows: Sequence[SerializedVector | None]) -> pa.StructArray:
    """Return the Arrow struct array, in Spark's own type, of rows as :func:`iter_serialized` yields them; null for None."""
    kinds = pa.array([SPARSE if row is None else row[0] for row in rows], pa.int8())
    others = [
        pa.array([None if row is None else row[position] for row in rows], SPARK_VECTOR_TYPE.field(position).type)
        for position in (1, 2, 3)
    ]
    mask = pa.array([row is None for row in rows], pa.bool_())
    return pa.StructArray.from_arrays([kinds, *others], fields=list(SPARK_VECTOR_TYPE), mask=mask)


class VectorColumns(NamedTuple):
    """A column of n vectors as flat arrays of the stored values of all rows; null rows store nothing."""

    sparse: np.ndarray[Any, np.dtype[np.bool_]]  # (n,)
    null: np.ndarray[Any, np.dtype[np.bool_]]  # (n,)
    widths: np.ndarray[Any, np.dtype[np.int64]]  # (n,), 0 for null
    starts: np.ndarray[Any, np.dtype[np.int64]]  # (n + 1,), where the stored values of each row begin
    columns: np.ndarray[Any, np.dtype[np.int64]]  # (stored,), the place of each in its vector
    values: np.ndarray[Any, np.dtype[np.float64]]  # (stored,)

    @property
    def counts(self) -> np.ndarray[Any, np.dtype[np.int64]]:
        """The number of values that each row stores, shape (n,)."""
        return np.diff(self.starts)


def split_vectors(vectors: pa.StructArray) -> VectorColumns:
    """Split vectors of any kinds and widths into flat arrays; values are not copied."""
    width = vector_widths(vectors)
    null = width < 0
    sparse = pc.fill_null(pc.equal(pc.struct_field(vectors, "type"), SPARSE), False).to_numpy(zero_copy_only=False)
    values, starts = _flat(_field(vectors, "values"))
    columns = positions_in_rows(starts)
    if sparse.any():
        indices, _ = _flat(_field(vectors, "indices"))
        columns[np.repeat(sparse, np.diff(starts))] = indices
    return VectorColumns(sparse, null, np.where(null, 0, width), starts, columns, values)


def positions_in_rows(starts: np.ndarray[Any, np.dtype[np.int64]]) -> np.ndarray[Any, np.dtype[np.int64]]:
    """Return ``0, 1, 2, …`` for the values of each row, shape (starts[-1],)."""
    counted: np.ndarray[Any, np.dtype[np.int64]] = np.arange(starts[-1]) - np.repeat(starts[:-1], np.diff(starts))
    return counted


def join_vectors(given: VectorColumns) -> pa.StructArray:
    """Return the Arrow struct array, in Spark's own type, of flat arrays; the columns of dense rows are ignored.

    ``widths`` count for sparse rows only: a dense row is as wide as it stores values.
    """
    counts = given.counts
    absent = pa.array(given.null | ~given.sparse)
    of_sparse = np.concatenate(([0], np.cumsum(np.where(given.sparse, counts, 0))))
    stored = given.columns[np.repeat(given.sparse, counts)] if given.sparse.any() else given.columns[:0]
    kinds = pa.array(np.where(given.sparse, SPARSE, DENSE).astype(np.int8))
    sizes = pc.if_else(absent, pa.scalar(None, pa.int32()), pa.array(given.widths.astype(np.int32)))
    indices = list_array(of_sparse, stored.astype(np.int32), absent, SPARK_VECTOR_TYPE.field("indices").type)
    values = list_array(given.starts, given.values, None, SPARK_VECTOR_TYPE.field("values").type)
    return pa.StructArray.from_arrays([kinds, sizes, indices, values], fields=list(SPARK_VECTOR_TYPE), mask=pa.array(given.null))


def list_array(
    starts: np.ndarray[Any, Any], values: np.ndarray[Any, Any], null: pa.BooleanArray | None, kind: pa.ListType
) -> pa.ListArray:
    """Return a list column; ``starts`` says where each row begins, shape (n + 1,). The values are not copied."""
    return pa.ListArray.from_arrays(pa.array(starts.astype(np.int32)), pa.array(values), type=kind, mask=null)


def to_lists(vectors: pa.StructArray) -> pa.ListArray:
    """Return every vector as a list of all its numbers, zeros included; null for null. Widths may differ."""
    known = split_vectors(vectors)
    starts = np.concatenate(([0], np.cumsum(known.widths)))
    values = known.values
    if known.sparse.any():
        values = np.zeros(starts[-1])
        values[np.repeat(starts[:-1], known.counts) + known.columns] = known.values
    return list_array(starts, values, pa.array(known.null), SPARK_VECTOR_TYPE.field("values").type)
