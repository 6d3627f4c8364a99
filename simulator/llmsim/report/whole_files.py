"""Files that are each whole or not there at all: text, JSON and tables."""

from __future__ import annotations

import gzip
import json
import os
import tempfile
from collections.abc import Callable, Mapping
from contextlib import suppress
from importlib.util import find_spec
from pathlib import Path
from typing import IO, Any

import numpy as np
import numpy.typing as npt

from llmsim.errors import OutputError

PARTIAL = ".partial"
HINT = "choose another directory with --out"

Columns = dict[str, npt.NDArray[Any]]
Fill = Callable[[IO[bytes]], object]


def prepare(out: Path, mark: str, what: str) -> bool:
    """``out`` is a directory that can be written; returns whether it holds the file ``mark`` already.

    Args:
        out: Made when it is not there.
        mark: The file that tells whose directory it is.
        what: What such a directory holds, in words.

    Raises:
        OutputError: It cannot be made or written, or holds something else than ``what``.
    """
    try:
        out.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=out):
            pass
        others = [path.name for path in out.iterdir() if not path.name.endswith(PARTIAL)]
    except FileExistsError:
        raise OutputError(f"{out}: cannot be written: it is a file, not a directory", hint=HINT) from None
    except (OSError, UnicodeEncodeError) as error:
        raise OutputError(f"{out}: cannot be written: {reason(error)}", hint=HINT) from None
    if others and mark not in others:
        raise OutputError(
            f"{out}: not empty, and not a {what} directory (holds {sorted(others)[0]})", hint=HINT
        )
    return bool(others)


def write_all(files: Mapping[Path, Fill]) -> list[Path]:
    """Every path holds what its ``fill`` writes; when one cannot be written, all are as they were before."""
    partials = {path: path.with_name(path.name + PARTIAL) for path in files}
    path = next(iter(files))
    try:
        for path, fill in files.items():
            with partials[path].open("wb") as file:
                fill(file)
        for path, partial in partials.items():
            os.replace(partial, path)
    except BaseException as error:
        for partial in partials.values():
            with suppress(OSError):
                partial.unlink()
        if not isinstance(error, OSError):
            raise
        raise OutputError(f"{path}: cannot be written: {reason(error)}", hint=HINT) from None
    return list(files)


def reason(error: OSError | UnicodeEncodeError) -> str:
    """What the system says of a file that cannot be written."""
    return getattr(error, "strerror", None) or str(error)


def text(content: str) -> Fill:
    """A file of UTF-8 text."""
    return lambda file: file.write(content.encode())


def as_json(value: Any) -> str:
    """JSON in the order of ``value``, floats so that they read back exactly, one key a line."""
    return json.dumps(value, indent=2, ensure_ascii=False, allow_nan=False) + "\n"


def table(name: str, columns: Columns) -> dict[str, Fill]:
    """A table called ``name``: ``.parquet`` where pyarrow is there to write it, else ``.csv.gz``."""
    if find_spec("pyarrow"):
        return {f"{name}.parquet": lambda file: _parquet(columns, file)}
    return {f"{name}.csv.gz": lambda file: _csv(columns, file)}


def zipped(file: IO[bytes]) -> gzip.GzipFile:
    """A gzip stream into ``file`` whose header says neither when nor under what name."""
    return gzip.GzipFile(filename="", mode="wb", compresslevel=6, fileobj=file, mtime=0)


def _parquet(columns: Columns, file: IO[bytes]) -> None:
    import pyarrow  # noqa: PLC0415  an extra, and slow to import
    import pyarrow.parquet  # noqa: PLC0415  as above

    table = pyarrow.Table.from_arrays(list(map(_arrow, columns.values())), names=list(columns))
    pyarrow.parquet.write_table(table, file, compression="zstd")


def _arrow(values: npt.NDArray[Any]) -> Any:
    """``values`` as an Arrow array, nan as null. From its buffers: ``pyarrow.array`` would import pandas."""
    import pyarrow  # noqa: PLC0415  as above

    if values.dtype.kind == "O":
        texts = [text.encode() for text in values]
        ends = np.cumsum([0, *map(len, texts)], dtype=np.int32)
        buffers = [pyarrow.py_buffer(ends), pyarrow.py_buffer(b"".join(texts))]
        return pyarrow.StringArray.from_buffers(len(texts), *buffers)
    there = _bits(~np.isnan(values)) if values.dtype.kind == "f" else None
    cells = _bits(values) if values.dtype.kind == "b" else np.ascontiguousarray(values)
    buffers = [there if there is None else pyarrow.py_buffer(there), pyarrow.py_buffer(cells)]
    return pyarrow.Array.from_buffers(pyarrow.from_numpy_dtype(values.dtype), len(values), buffers)


def _bits(flags: npt.NDArray[Any]) -> npt.NDArray[np.uint8]:
    """A bit per flag, as Arrow packs them."""
    return np.packbits(flags, bitorder="little")


def _csv(columns: Columns, file: IO[bytes]) -> None:
    import pandas  # noqa: PLC0415  0.8 s that only this table needs

    with zipped(file) as stream:
        pandas.DataFrame(columns).to_csv(stream, index=False, lineterminator="\n")
