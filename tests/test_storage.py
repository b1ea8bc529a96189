import errno
import json
import os
import pathlib
import threading
from concurrent.futures import ThreadPoolExecutor

import pytest

from hparse_jax.storage import is_safe_name, read_ahead, replacing, write_bytes, write_json


def test_a_file_is_written_whole_and_its_folder_made(tmp_path):
    write_bytes(tmp_path / "new" / "x.png", b"data")
    write_json(tmp_path / "new" / "x.json", {"a": [1, 2]})
    assert (tmp_path / "new" / "x.png").read_bytes() == b"data"
    assert json.loads((tmp_path / "new" / "x.json").read_text()) == {"a": [1, 2]}
    assert len(list((tmp_path / "new").iterdir())) == 2


def test_a_failed_write_leaves_nothing(tmp_path, monkeypatch):
    def full(self, data):
        self.touch()
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(pathlib.Path, "write_bytes", full)
    with pytest.raises(OSError, match="No space"):
        write_bytes(tmp_path / "new" / "x.png", b"data")
    assert not list((tmp_path / "new").iterdir())


def test_a_failed_replacement_keeps_the_old_file(tmp_path):
    write_bytes(tmp_path / "x.zip", b"old")

    def fail():
        with replacing(tmp_path / "x.zip") as unfinished:
            unfinished.write_bytes(b"half")
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        fail()
    assert [p.read_bytes() for p in tmp_path.iterdir()] == [b"old"]


def test_two_writers_of_one_file_leave_it_whole(tmp_path):
    with replacing(tmp_path / "x") as first, replacing(tmp_path / "x") as second:
        first.write_bytes(b"first")
        second.write_bytes(b"second, longer")
        assert first.read_bytes() == b"first"
    assert [p.read_bytes() for p in tmp_path.iterdir()] == [b"first"]


def test_names_may_be_as_long_as_the_file_system_takes(tmp_path):
    longest = os.pathconf(tmp_path, "PC_NAME_MAX")
    write_bytes(tmp_path / ("x" * longest), b"data")
    with pytest.raises(OSError, match="too long") as caught:
        write_bytes(tmp_path / ("x" * (longest + 1)), b"data")
    assert caught.value.errno == errno.ENAMETOOLONG


def test_an_error_names_the_file_that_was_to_be_written(tmp_path):
    (tmp_path / "x" / "y").mkdir(parents=True)
    with pytest.raises(OSError, match="x") as caught:
        write_bytes(tmp_path / "x", b"data")  # a folder
    assert "unfinished" not in str(caught.value.filename)


@pytest.mark.parametrize(
    ("name", "safe"),
    [
        ("a/b.png", True),
        ("..a/b", True),
        ("", False),
        ("../a", False),
        ("a/../b", False),
        ("/etc/a", False),
        ("C:/a", False),
        ("a\\..\\..\\b", False),
    ],
)
def test_names_that_leave_their_folder_are_told(name, safe):
    assert is_safe_name(name) is safe


def test_results_come_in_order_and_few_calls_run_in_advance():
    started, lock = [], threading.Lock()

    def square(i):
        with lock:
            started.append(i)
        return i * i

    with ThreadPoolExecutor(3) as pool:
        for given, result in enumerate(read_ahead(pool, square, range(50), 4)):
            assert result == given**2
            with lock:
                assert max(started) <= given + 4 + 1
    assert sorted(started) == list(range(50))
