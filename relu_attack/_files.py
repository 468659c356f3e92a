"""Files: read up to a limit, written whole or not at all, held by one process."""

from __future__ import annotations

import contextlib
import errno
import io
import os
import secrets
import stat
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

from relu_attack.errors import FileFormatError

if sys.platform != "win32":  # Windows has no such locks: there two processes are not kept apart
    import fcntl

CHUNK_BYTES = 2**20
ASIDE = ".new"
_NAME_CHARACTERS = 60
"""Of the name of a file in that of the one aside, since names may have 255 bytes in all."""


def as_path(path: str | os.PathLike[str]) -> Path:
    """Return the path of a file; raise `FileFormatError` for what can be none."""
    if not isinstance(path, str | os.PathLike) or "\0" in os.fspath(path):
        raise FileFormatError(f"a path must be the name of a file, got {path!r}")
    return Path(path)


def read_bytes(path: str | os.PathLike[str], *, most: int) -> bytes:
    """Return the content of a file of at most `most` bytes; a pipe is read to its end."""
    as_path(path)
    try:
        with open(path, "rb") as file:
            found = os.fstat(file.fileno())
            if stat.S_ISREG(found.st_mode) and found.st_size > most:
                raise _too_large(path, most)
            return read_up_to(file, path, most=most)
    except OSError as reason:
        raise FileFormatError(f"{path} cannot be read: {reason.strerror or reason}") from None
    except ValueError as reason:  # a path with a NUL character
        raise FileFormatError(f"{os.fspath(path)!r} cannot be read: {reason}") from None


def read_up_to(file: io.BufferedIOBase, path: str | os.PathLike[str], *, most: int) -> bytes:
    """Return what an open file holds; raise `FileFormatError` where it is more than `most` bytes."""
    chunks, length = [], 0
    while chunk := file.read(CHUNK_BYTES):
        chunks.append(chunk)
        length += len(chunk)
        if length > most:
            raise _too_large(path, most)
    return b"".join(chunks)


def read_text(path: str | os.PathLike[str], *, most: int) -> str:
    """Return the content of a file in UTF-8, with or without a byte order mark."""
    return decode(read_bytes(path, most=most), path)


def decode(content: bytes, path: str | os.PathLike[str]) -> str:
    """Return the text of a file; raise `FileFormatError` where it is no UTF-8."""
    try:
        return content.decode("utf-8-sig")
    except UnicodeDecodeError as reason:
        line = content.count(b"\n", 0, reason.start) + 1
        raise FileFormatError(f"{path}, line {line}: is not text in UTF-8; save it in that encoding") from None


def write_files(contents: Mapping[Path, bytes | str]) -> None:
    """Write files that belong together: the earlier ones stay whole until the new ones are.

    Each is written beside its place, in the same folder, and forced to the disk; then all are renamed in their order.
    A full disk, an error or Ctrl-C before that changes nothing and leaves nothing behind. A process that is killed
    between two renames leaves the rest beside: `left_beside` names them. Permissions and owner of a file that is
    replaced are kept, and a symbolic link keeps pointing to it. What is no regular file, as ``/dev/stdout``, is
    written to directly.

    >>> import tempfile
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     for text in ("first", "second"):
    ...         write_files({Path(folder) / "note.txt": text})
    ...     sorted(os.listdir(folder)), (Path(folder) / "note.txt").read_text()
    (['note.txt'], 'second')
    """
    beside: list[tuple[Path, Path]] = []
    path = Path()
    with contextlib.ExitStack() as opened:  # the locks last until all are in their places
        try:
            for path, content in contents.items():
                data = content.encode() if isinstance(content, str) else content
                target = Path(os.path.realpath(path))
                if target.exists() and not target.is_file():
                    target.write_bytes(data)
                    continue
                beside.append((_new_beside(target), target))
                opened.enter_context(_fill(*beside[-1], data))
            for aside, path in beside:
                os.replace(aside, path)
            for folder in {path.parent for _, path in beside}:
                _force_folder(folder)
        except OSError as reason:
            raise FileFormatError(f"{path} cannot be written: {reason.strerror or reason}") from None
        finally:
            _settle(beside)
    for _, path in beside:
        _remove_abandoned(path)


def _settle(beside: list[tuple[Path, Path]]) -> None:
    """Leave nothing half done: once the first file is in its place the others follow, else all are removed."""
    begun = bool(beside) and not beside[0][0].exists()
    for aside, target in beside:
        with contextlib.suppress(OSError):
            if begun and aside.exists():
                os.replace(aside, target)
            else:
                aside.unlink(missing_ok=True)


def left_beside(path: Path) -> list[Path]:
    """Return what processes that were killed, or are at work, have written beside a file, to take its place."""
    target = Path(os.path.realpath(path))
    prefix = _prefix(target)
    try:
        names = sorted(os.listdir(target.parent))
    except OSError:
        return []
    return [target.parent / name for name in names if name.startswith(prefix) and name.endswith(ASIDE)]


@contextmanager
def held(path: Path) -> Iterator[None]:
    """Hold a file for this process; another one that asks for it is refused by FileFormatError."""
    lock = Path(os.path.realpath(path))
    lock = lock.with_name(f".{lock.name}.lock")
    try:
        descriptor = os.open(lock, os.O_RDWR | os.O_CREAT, 0o666)
    except OSError as reason:
        raise FileFormatError(f"{path} cannot be written: {reason.strerror}") from None
    try:
        # A holder removes the file at its end: one that waited for it then holds a file that is no longer there.
        if _lock(descriptor) is False or not _is_at(descriptor, lock):
            raise FileFormatError(f"{path} is in use by another process; wait for its end, or give another file")
        try:
            yield
        finally:
            lock.unlink(missing_ok=True)
    finally:
        os.close(descriptor)


def _too_large(path: str | os.PathLike[str], most: int) -> FileFormatError:
    return FileFormatError(f"{path} is too large: at most {most} bytes are read, decompressed")


def _prefix(target: Path) -> str:
    return f".{target.name[:_NAME_CHARACTERS]}."


def _new_beside(target: Path) -> Path:
    return target.with_name(f"{_prefix(target)}{secrets.token_hex(4)}{ASIDE}")


@contextmanager
def _fill(aside: Path, target: Path, data: bytes) -> Iterator[None]:
    """Write a file that is to take the place of another, with its permissions, and hold it."""
    descriptor = os.open(aside, os.O_WRONLY | os.O_CREAT | os.O_EXCL | getattr(os, "O_BINARY", 0), 0o666)
    with open(descriptor, "wb") as file:
        _lock(descriptor)
        if target.exists():
            if not os.access(target, os.W_OK):
                raise PermissionError(errno.EACCES, "it is write-protected", str(target))
            before = target.stat()
            with contextlib.suppress(OSError, AttributeError):  # it is another user's; Windows
                os.fchown(descriptor, before.st_uid, before.st_gid)
            with contextlib.suppress(AttributeError):  # Windows
                os.fchmod(descriptor, stat.S_IMODE(before.st_mode))
        file.write(data)
        file.flush()
        os.fsync(descriptor)
        if sys.platform == "win32":
            file.close()  # it renames no open file
        yield


def _force_folder(folder: Path) -> None:
    """Force the names in a folder to the disk, where the system can."""
    with contextlib.suppress(OSError):
        descriptor = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)


def _remove_abandoned(path: Path) -> None:
    """Remove what killed processes have left beside a file: no process holds it."""
    for aside in left_beside(path):
        with contextlib.suppress(OSError):
            descriptor = os.open(aside, os.O_RDWR)
            try:
                if _lock(descriptor):
                    aside.unlink()
            finally:
                os.close(descriptor)


def _lock(descriptor: int) -> bool | None:
    """Lock an open file for this process; return whether no other process has, None where there are no locks."""
    if sys.platform == "win32":
        return None
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    except OSError:  # a file system without locks
        return None
    return True


def _is_at(descriptor: int, path: Path) -> bool:
    try:
        return os.path.samestat(os.fstat(descriptor), os.stat(path))
    except OSError:
        return False
