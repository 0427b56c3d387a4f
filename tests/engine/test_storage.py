"""Sealed folders, journals and stateless randomness."""

from __future__ import annotations

import errno
import json
from pathlib import Path

import pytest
from hypothesis import given, strategies

from warmrl.domain.errors import StorageError, UsageError
from warmrl.engine import storage
from warmrl.engine.journal import Journal
from warmrl.engine.randomness import epoch_slice, generator, seed_of
from warmrl.engine.replies import Cache


def sealed(folder: Path) -> Path:
    with storage.sealed_folder(folder) as inside:
        (inside / "a.bin").write_bytes(bytes(range(256)))
        (inside / "b.json").write_text("{}")
    return folder


def test_a_sealed_folder_is_whole(tmp_path: Path) -> None:
    assert storage.damage(sealed(tmp_path / "one")) is None
    assert [one.name for one in tmp_path.iterdir()] == ["one"]


@pytest.mark.parametrize("name", ["a.bin", "b.json", storage.MANIFEST])
@pytest.mark.parametrize("how", ["missing", "truncated", "empty", "flipped"])
def test_every_damage_is_seen(tmp_path: Path, name: str, how: str) -> None:
    file = sealed(tmp_path / "one") / name
    content = bytearray(file.read_bytes())
    if how == "missing":
        file.unlink()
    elif how == "truncated":
        file.write_bytes(content[:-1] if name != storage.MANIFEST else content[: len(content) // 2])
    elif how == "empty":
        file.write_bytes(b"")
    else:
        content[len(content) // 2] ^= 1
        file.write_bytes(content)
    assert storage.damage(tmp_path / "one") is not None


def test_a_failed_write_publishes_nothing(tmp_path: Path) -> None:
    sealed(tmp_path / "one")
    with pytest.raises(StorageError, match="disk is full"), storage.sealed_folder(tmp_path / "one") as inside:
        (inside / "c").write_text("half")
        raise OSError(errno.ENOSPC, "No space left on device")
    assert storage.damage(tmp_path / "one") is None
    assert [one.name for one in tmp_path.iterdir()] == ["one"]


def test_a_full_disk_is_refused_at_the_start(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="MiB free"):
        storage.require_space(tmp_path / "deep" / "run", least=2**62)


def test_a_journal_goes_back_to_its_mark(tmp_path: Path) -> None:
    journal = Journal(tmp_path / "m.jsonl")
    journal.rewind(None)
    journal.append({"step": 1})
    mark = journal.mark()
    journal.append({"step": 2})
    after = journal.file.read_bytes()
    again = Journal(journal.file)
    assert again.matches(mark)
    again.rewind(mark)
    again.append({"step": 2})
    assert again.file.read_bytes() == after and again.mark() == journal.mark()
    again.file.write_bytes(b"x" + after[1:])
    assert not Journal(journal.file).matches(mark)
    with pytest.raises(ValueError, match=r"Out of range|not JSON"):
        again.append({"loss": float("nan")})


def test_a_torn_last_line_is_left_out(tmp_path: Path) -> None:
    file = tmp_path / "m.jsonl"
    file.write_text(json.dumps({"a": 1}) + '\n{"a": ')
    assert Journal(file).rows() == [{"a": 1}]


def test_seeds_tell_purposes_apart() -> None:
    assert seed_of(1, "a", 2) != seed_of(1, "a2") != seed_of("1a", 2)
    assert generator(1, "x").integers(1 << 60) == generator(1, "x").integers(1 << 60)


@given(strategies.integers(1, 40), strategies.integers(0, 100), strategies.integers(1, 50))
def test_epochs_are_whole_wherever_they_are_cut(size: int, start: int, count: int) -> None:
    whole = epoch_slice(size, 0, start + count, 3, "order")
    assert epoch_slice(size, start, count, 3, "order") == whole[start:]
    for epoch in range(len(whole) // size):
        assert sorted(whole[epoch * size : (epoch + 1) * size]) == list(range(size))


def test_a_reply_that_cannot_be_kept(tmp_path):
    (tmp_path / "file").touch()
    with pytest.raises(StorageError, match=r"failed: Not a directory\. Make room; .* `cache_folder`, or nowhere"):
        Cache(tmp_path / "file").write({"asked": 1}, "reply")
