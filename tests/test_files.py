"""Files are read up to a limit, and written whole or not at all, whatever happens on the way."""

import errno
import os
from pathlib import Path

import pytest

from relu_attack import _files
from relu_attack._files import held, left_beside, read_bytes, read_text, write_files
from relu_attack.errors import FileFormatError
from tests.killing import killed_at_rename


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def test_files_are_replaced_together(tmp_path: Path) -> None:
    first, second = tmp_path / "a.json", tmp_path / "a.bin"
    for number in range(2):
        write_files({first: f"text {number} ä", second: bytes([number])})
    assert first.read_text(encoding="utf-8") == "text 1 ä"
    assert second.read_bytes() == b"\1"
    assert names(tmp_path) == ["a.bin", "a.json"]


@pytest.mark.parametrize("reason", [OSError(errno.ENOSPC, "No space left on device"), KeyboardInterrupt()])
def test_an_interruption_before_all_are_written_changes_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, reason: BaseException
) -> None:
    files = [tmp_path / "a", tmp_path / "b"]
    for file in files:
        file.write_text("old")
    calls = []

    def fill_the_disk(descriptor: int) -> None:
        calls.append(descriptor)
        if len(calls) == 2:
            raise reason

    monkeypatch.setattr(_files.os, "fsync", fill_the_disk)
    expected = FileFormatError if isinstance(reason, OSError) else KeyboardInterrupt
    with pytest.raises(expected) as caught:
        write_files(dict.fromkeys(files, "new"))
    if isinstance(reason, OSError):
        assert str(caught.value) == f"{files[1]} cannot be written: No space left on device"
    assert [file.read_text() for file in files] == ["old", "old"]
    assert names(tmp_path) == ["a", "b"]


def test_an_interruption_between_two_renames_moves_the_rest(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    files = [tmp_path / "a", tmp_path / "b"]
    for file in files:
        file.write_text("old")
    rename, calls = os.replace, []

    def interrupt(*paths: Path) -> None:
        rename(*paths)
        calls.append(paths)
        if len(calls) == 1:
            raise KeyboardInterrupt

    monkeypatch.setattr(_files.os, "replace", interrupt)
    with pytest.raises(KeyboardInterrupt):
        write_files(dict.fromkeys(files, "new"))
    assert [file.read_text() for file in files] == ["new", "new"]
    assert names(tmp_path) == ["a", "b"]


def test_permissions_links_and_devices_stay_what_they_are(tmp_path: Path) -> None:
    file, link = tmp_path / "file", tmp_path / "link"
    file.write_text("old")
    file.chmod(0o640)
    link.symlink_to(file)
    write_files({link: "new", Path(os.devnull): "nothing"})
    assert file.read_text() == "new"
    assert link.is_symlink()
    assert file.stat().st_mode & 0o777 == 0o640
    assert not Path(os.devnull).is_file()
    before = os.umask(0o027)
    try:
        write_files({tmp_path / "fresh": ""})
    finally:
        os.umask(before)
    assert (tmp_path / "fresh").stat().st_mode & 0o777 == 0o640


def test_what_cannot_be_written_is_one_line(tmp_path: Path) -> None:
    (tmp_path / "folder").mkdir()
    for path in (tmp_path / "folder", tmp_path / "none" / "file"):
        with pytest.raises(FileFormatError) as caught:
            write_files({path: "x"})
        assert str(caught.value).startswith(f"{path} cannot be written: ")
    assert names(tmp_path) == ["folder"]


def test_what_a_killed_process_left_is_found_and_goes_with_the_next_write(tmp_path: Path) -> None:
    file = tmp_path / "file"
    file.write_text("old")
    killed_at_rename(1, lambda: write_files({file: "new"}))
    (left,) = left_beside(file)
    assert (file.read_text(), left.read_text()) == ("old", "new")
    write_files({file: "newer"})
    assert names(tmp_path) == ["file"]


def test_a_file_is_held_by_one_process(tmp_path: Path) -> None:
    # The locks are those of open files, so that the same process is refused as another one is.
    refused = pytest.raises(FileFormatError, match="file is in use by another process")
    with held(tmp_path / "file"), refused, held(tmp_path / "file"):
        pass
    assert names(tmp_path) == []
    with held(tmp_path / "file"):
        pass


def test_reading_has_a_limit(tmp_path: Path) -> None:
    file = tmp_path / "file"
    file.write_bytes(b"12345")
    assert read_bytes(file, most=5) == b"12345"
    with pytest.raises(FileFormatError, match="is too large: at most 4 bytes"):
        read_bytes(file, most=4)
    with pytest.raises(FileFormatError, match="is too large"):
        read_bytes("/dev/zero", most=100)
    with pytest.raises(FileFormatError, match="cannot be read: Is a directory"):
        read_bytes(tmp_path, most=4)
    with pytest.raises(FileFormatError, match="must be the name of a file"):
        read_bytes("a\0b", most=4)


def test_text_is_utf_8_with_or_without_a_mark(tmp_path: Path) -> None:
    file = tmp_path / "file"
    file.write_bytes("\ufeffgrün".encode())
    assert read_text(file, most=100) == "grün"
    file.write_bytes(b"one\n\xff")
    with pytest.raises(FileFormatError, match="file, line 2: is not text in UTF-8"):
        read_text(file, most=100)
