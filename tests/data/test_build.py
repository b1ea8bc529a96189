import re
import shutil
import signal
import subprocess
import sys
import time

import pytest
from ccp_folder import LABEL_LIST, write_photo
from raw_folders import write, write_people, write_sample

from hparse_jax.data.build import DATASETS, build, check_raw
from hparse_jax.data.dataset import BuiltDataset
from hparse_jax.errors import InputError
from hparse_jax.lock import sole_writer


def splits(data_dir) -> dict[str, int]:
    return BuiltDataset("fashion_clothing", data_dir).splits


def test_builds_once_from_the_raw_folder_or_its_parent(raw, tmp_path):
    for name, manual_dir in (("a", raw), ("b", raw.parent)):
        target = build("fashion_clothing", tmp_path / name, manual_dir)
        assert target == tmp_path / name / "fashion_clothing" / "1.0.0"
        assert splits(tmp_path / name) == {"train": 5, "val": 2}
    shutil.rmtree(raw)
    before = {path: path.stat().st_mtime_ns for path in target.iterdir()}
    assert build("fashion_clothing", tmp_path / "b") == target
    assert {path: path.stat().st_mtime_ns for path in target.iterdir()} == before


def test_a_build_prints_nothing(raw, tmp_path, capfd):
    build("fashion_clothing", tmp_path, raw)
    check_raw("fashion_clothing", raw)
    assert capfd.readouterr().out == ""


def test_a_folder_without_a_dataset_in_it_is_not_taken_for_one(raw, tmp_path):
    target = tmp_path / "fashion_clothing" / "1.0.0"
    target.mkdir(parents=True)
    with pytest.raises(InputError, match="not a whole dataset"):
        build("fashion_clothing", tmp_path, raw)


@pytest.mark.parametrize("below", ["", "data"])
def test_a_data_dir_that_is_a_file_is_told_so(raw, tmp_path, below):
    file = write(tmp_path / "file", "")
    expected = re.escape(f"data_dir={file / below}: {file} is a file; give the path")
    with pytest.raises(InputError, match=expected):
        build("fashion_clothing", file / below, raw)


def people(tmp_path, name="people"):
    """The arguments of a dataset of one's own, with three photos."""
    for i in range(3):
        write_sample(tmp_path / name, f"person{i}", seed=i)
    hierarchy = write_people(tmp_path / f"{name}.json")
    return {"manual_dir": tmp_path / name, "hierarchy": hierarchy, "name": "people"}


def test_what_is_built_is_not_taken_for_another_raw_folder_or_hierarchy(tmp_path):
    first, other = people(tmp_path), people(tmp_path, "other")
    build("folder", tmp_path / "data", **first)
    build("folder", tmp_path / "data", **first)
    with pytest.raises(InputError, match=rf"was built from {first['manual_dir']}, not from .*name"):
        build("folder", tmp_path / "data", **first | {"manual_dir": other["manual_dir"]})
    with pytest.raises(InputError, match=r"was built with another hierarchy than lip; remove"):
        build("folder", tmp_path / "data", **first | {"hierarchy": "lip"})


@pytest.mark.parametrize(
    ("dataset", "manual_dir", "options", "expected"),
    [
        (
            "fashion",
            None,
            {},
            "known are synthetic, lip, pascal_person_part, atr, fashion_clothing",
        ),
        ("fashion_clothing", None, {}, "manual_dir is missing: fashion_clothing is built"),
        ("fashion_clothing", "nowhere", {}, "no such folder"),
        ("fashion_clothing", "empty", {}, "empty: is empty; give the folder"),
        ("fashion_clothing", "file", {}, "file: is not a folder; give the folder"),
        ("lip", "empty", {"hierarchy": "lip"}, "name and hierarchy are for dataset `folder`"),
        ("lip", "empty", {"name": "mine"}, "name and hierarchy are for dataset `folder`"),
        ("lip", "empty", {"chictopia": True}, "chictopia is for dataset `atr`; leave it out"),
        ("folder", "empty", {}, "hierarchy is missing: give the file"),
        ("folder", "empty", {"hierarchy": "nowhere.json"}, "no hierarchy 'nowhere.json'|empty"),
        (
            "folder",
            "empty",
            {"hierarchy": "lip", "name": "My set"},
            "name=My set: use lower",
        ),
        ("folder", "empty", {"hierarchy": "lip", "name": "../mine"}, "name=../mine"),
        ("folder", "empty", {"hierarchy": "lip", "name": "cihp"}, "name of another dataset"),
    ],
)
def test_wrong_arguments(tmp_path, dataset, manual_dir, options, expected):
    (tmp_path / "empty").mkdir()
    (tmp_path / "file").touch()
    with pytest.raises(InputError, match=expected):
        build(dataset, tmp_path / "data", manual_dir and tmp_path / manual_dir, **options)
    assert not (tmp_path / "data").exists()


@pytest.mark.parametrize("dataset", [name for name, layout in DATASETS.items() if layout.wanted])
def test_another_folder_is_told_what_the_datasets_holds(tmp_path, dataset):
    write(tmp_path / "raw" / "readme.txt", "not here")
    options = {"hierarchy": write_people(tmp_path / "people.json")} if dataset == "folder" else {}
    with pytest.raises(InputError, match=rf"{tmp_path / 'raw'}: .*hold") as caught:
        build(dataset, tmp_path / "data", tmp_path / "raw", **options)
    assert "\n" not in str(caught.value)
    assert "  " not in str(caught.value)


def test_a_check_counts_what_is_good_and_left_out_and_writes_nothing(raw):
    write_photo(raw, "0002", (40, 30), (0, LABEL_LIST.index("cape")))
    before = sorted(raw.parent.rglob("*"))
    tally = check_raw("fashion_clothing", raw)
    assert (tally.photos, tally.left_out, tally.problems) == (6, ["0002"], [])
    assert tally.unmapped == {"cape": 1}
    assert sorted(raw.parent.rglob("*")) == before


def test_a_second_build_is_refused_while_the_first_one_runs(raw, tmp_path):
    with sole_writer(tmp_path / "fashion_clothing"):
        unfinished = tmp_path / "fashion_clothing" / "incomplete.1.0.0"
        unfinished.mkdir()
        with pytest.raises(InputError, match="is at work there"):
            build("fashion_clothing", tmp_path, raw)
        assert unfinished.is_dir()
    build("fashion_clothing", tmp_path, raw)
    assert splits(tmp_path) == {"train": 5, "val": 2}


def test_a_killed_build_reads_as_not_built_and_is_cleared_away(raw, tmp_path):
    code = (
        "import sys, time; from hparse_jax.data.raw import records as dataset\n"
        "encode = dataset.encode\n"
        "def slow(*arguments):\n"
        "    time.sleep(1)\n"
        "    return encode(*arguments)\n"
        "dataset.encode = slow\n"
        "sys.stdout = sys.stderr\n"
        "from hparse_jax.data.build import build\n"
        f"build('fashion_clothing', {str(tmp_path / 'data')!r}, {str(raw)!r})\n"
    )
    process = subprocess.Popen([sys.executable, "-c", code], stderr=subprocess.DEVNULL)
    folder = tmp_path / "data" / "fashion_clothing"
    deadline = time.monotonic() + 30
    while not list(folder.glob("incomplete.*")) and time.monotonic() < deadline:
        time.sleep(0.05)
    process.send_signal(signal.SIGKILL)
    process.wait()
    assert {path.name[:11] for path in folder.iterdir()} == {".lock", "incomplete."}
    with pytest.raises(InputError, match="hparse build fashion_clothing"):
        splits(tmp_path / "data")
    target = build("fashion_clothing", tmp_path / "data", raw)
    assert list(folder.iterdir()) == [target]
    assert splits(tmp_path / "data") == {"train": 5, "val": 2}
