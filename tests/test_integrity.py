"""Sealed folders: what changed is named, what was never sealed counts as whole."""

import hashlib
import json

import pytest

from hparse_jax.integrity import SEAL, find_damage, seal


@pytest.fixture
def folder(tmp_path):
    folder = tmp_path / "8"
    for name in ("top", "a/x", "a/deep/y", "b/z"):
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(name.encode() * 100)
    seal(folder)
    return folder


def test_a_seal_holds_the_sha256_of_every_file(folder):
    sums = json.loads((folder / SEAL).read_text())
    assert sums == {
        name: hashlib.sha256(name.encode() * 100).hexdigest()
        for name in ("top", "a/x", "a/deep/y", "b/z")
    }
    assert find_damage(folder) is None
    seal(folder)  # a second time: the seal itself is not sealed
    assert json.loads((folder / SEAL).read_text()) == sums


@pytest.mark.parametrize("name", ["top", "a/x", "a/deep/y", "b/z"])
def test_a_changed_and_a_missing_file_are_named(folder, name):
    data = bytearray((folder / name).read_bytes())
    data[17] ^= 4
    (folder / name).write_bytes(data)
    assert find_damage(folder) == f"{folder / name}: damaged, its checksum is another one"
    (folder / name).unlink()
    assert find_damage(folder) == f"{folder / name}: missing"


def test_of_one_part_only_its_files_and_those_on_top_are_read(folder):
    (folder / "b/z").unlink()
    assert find_damage(folder, "a") is None
    assert find_damage(folder, "b") is not None
    (folder / "top").unlink()
    assert find_damage(folder, "a") is not None


def test_only_the_named_files_are_sealed(folder):
    seal(folder, ["top", "later"])
    assert list(json.loads((folder / SEAL).read_text())) == ["top"]
    (folder / "b/z").unlink()
    assert find_damage(folder) is None
    (folder / "top").write_bytes(b"")
    assert find_damage(folder) is not None


def test_a_folder_without_a_seal_counts_as_whole_and_a_broken_seal_does_not(folder, tmp_path):
    for text in ("{", "[1]", "7"):
        (folder / SEAL).write_text(text)
        assert find_damage(folder) == f"{folder / SEAL}: damaged"
    (folder / SEAL).unlink()
    assert find_damage(folder) is None
    seal(tmp_path / "gone")
    assert not (tmp_path / "gone").exists()
