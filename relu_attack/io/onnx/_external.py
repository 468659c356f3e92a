"""External tensors of an ONNX file."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

from relu_attack._limits import WEIGHT_BYTES
from relu_attack.errors import FileFormatError

if TYPE_CHECKING:
    import onnx


def load_external(model: onnx.ModelProto, path: Path) -> list[bytes]:
    """Load the external data of a model into its tensors.

    Only files in the folder of the model are read, as a model of unknown origin may name any path. What they hold is
    returned in the order of the model.
    """
    found: list[bytes] = []
    left = WEIGHT_BYTES
    for tensor in tensors_of(model.graph):
        if tensor.data_location == tensor.EXTERNAL or tensor.external_data:
            content = _read(tensor, path, left)
            left -= len(content)
            found.append(content)
            tensor.raw_data = content
            tensor.data_location = tensor.DEFAULT
            del tensor.external_data[:]
    return found


def tensors_of(graph: onnx.GraphProto) -> Iterator[onnx.TensorProto]:
    """Yield the tensors of a graph: its initializers, and those of its nodes and of their subgraphs."""
    yield from graph.initializer
    for sparse in graph.sparse_initializer:
        yield from (sparse.values, sparse.indices)
    for node in graph.node:
        for attribute in node.attribute:
            if attribute.HasField("t"):
                yield attribute.t
            yield from attribute.tensors
            sparses = [attribute.sparse_tensor] if attribute.HasField("sparse_tensor") else []
            for sparse in (*sparses, *attribute.sparse_tensors):
                yield from (sparse.values, sparse.indices)
            for inner in (*([attribute.g] if attribute.HasField("g") else []), *attribute.graphs):
                yield from tensors_of(inner)


def _read(tensor: onnx.TensorProto, path: Path, most: int) -> bytes:
    where = f"{path}: the tensor {tensor.name!r}"
    entries = {entry.key: entry.value for entry in tensor.external_data}
    file = _place(entries.get("location", ""), path, where)
    try:
        offset = int(entries.get("offset", 0))
        length = int(entries["length"]) if "length" in entries else None
    except ValueError:
        raise FileFormatError(f"{where} has an offset or a length that is no whole number") from None
    try:
        size = file.stat().st_size
        wanted = size - offset if length is None else length
        if offset < 0 or wanted < 0 or offset + wanted > size:
            raise FileFormatError(f"{where} lies at bytes {offset} to {offset + wanted} of {file}, which has {size}")
        if wanted > most:
            raise FileFormatError(f"{where} is too large: at most {WEIGHT_BYTES} bytes of tensors are read")
        with file.open("rb") as opened:
            opened.seek(offset)
            content = opened.read(wanted)
    except OSError as reason:
        raise FileFormatError(f"{where} lies in {file}, which cannot be read: {reason.strerror}") from None
    if len(content) != wanted:
        raise FileFormatError(f"{where} lies in {file}, which became shorter while it was read")
    return content


def _place(location: str, path: Path, where: str) -> Path:
    """Return the external file of a tensor, relative to the folder of the model."""
    name = Path(location)
    if not location or "\0" in location or name.is_absolute() or ".." in name.parts or "\\" in location:
        raise FileFormatError(f"{where} lies in {location!r}; it must be a file in the folder of the model")
    file = path.parent / name
    # Download caches link the model and its tensors into one other folder; other links are rejected.
    folders = {path.parent.resolve(), path.resolve().parent}
    if not any(file.resolve().is_relative_to(folder) for folder in folders):
        raise FileFormatError(f"{where} lies in {location!r}, which leads out of the folder of the model")
    if not file.is_file():
        raise FileFormatError(f"{where} lies in {file}, which does not exist or is no file")
    return file
