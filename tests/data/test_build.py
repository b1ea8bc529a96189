import shutil
import signal
import subprocess
import sys
import time

import pytest
from ccp_folder import LABEL_LIST, write_photo
from raw_folders import (
    metadata,
    write,
    write_people,
    write_sample,
)

from hparse_jax.config import Config
from hparse_jax.data.build import build, check_raw
from hparse_jax.data.stream import num_photos, open_split
from hparse_jax.errors import InputError


def config(data_dir):
    return Config(dataset="fashion_clothing", data_dir=str(data_dir))


def test_builds_once_from_the_raw_folder_or_its_parent(raw, tmp_path, capsys):
    for name, manual_dir in (("a", raw), ("b", raw.parent)):
        target = build("fashion_clothing", tmp_path / name, manual_dir)
        assert f"built in {target}: 5 train, 2 val photos" in capsys.readouterr().out
        assert num_photos(config(tmp_path / name), "train") == 5
    shutil.rmtree(raw)
    assert (
        build("fashion_clothing", tmp_path / "a") == tmp_path / "a" / "fashion_clothing" / "1.0.0"
    )
    assert "already built" in capsys.readouterr().out


def test_a_folder_without_a_dataset_in_it_is_not_taken_for_one(raw, tmp_path):
    target = tmp_path / "fashion_clothing" / "1.0.0"
    target.mkdir(parents=True)
    with pytest.raises(InputError, match="not a whole dataset"):
        build("fashion_clothing", tmp_path, raw)


def test_a_cut_file_of_a_dataset_is_named_with_the_remedy(raw, tmp_path):
    target = build("fashion_clothing", tmp_path, raw)
    for path in target.glob("*train.array_record*"):
        path.write_bytes(path.read_bytes()[:2000])
    with pytest.raises(InputError, match=r"1\.0\.0: cannot be read .*hparse build"):
        open_split(config(tmp_path), "train")


def test_says_how_many_photos_were_left_out(raw, tmp_path, capsys):
    write_photo(raw, "0002", (40, 30), (0, LABEL_LIST.index("cape")))
    for _ in range(2):  # the second time it is read from the built dataset
        build("fashion_clothing", tmp_path, raw)
        assert "1 left out for labels without a class (1 cape)" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("dataset", "manual_dir", "options", "expected"),
    [
        (
            "fashion",
            None,
            {},
            "known are synthetic, lip, pascal_person_part, atr, fashion_clothing",
        ),
        ("fashion_clothing", None, {}, "--manual_dir is missing"),
        ("fashion_clothing", "nowhere", {}, "no such folder"),
        ("fashion_clothing", "empty", {}, "empty"),
        ("lip", "empty", {"hierarchy": "lip"}, "--hierarchy and --name are for `folder`"),
        ("lip", "empty", {"name": "mine"}, "--hierarchy and --name are for `folder`"),
        ("folder", "empty", {}, "--hierarchy is missing"),
        ("folder", "empty", {"hierarchy": "nowhere.json"}, "no hierarchy 'nowhere.json'|empty"),
        ("folder", "empty", {"hierarchy": "lip", "name": "My set"}, "--name=My set: small letters"),
        ("folder", "empty", {"hierarchy": "lip", "name": "../mine"}, "--name=../mine"),
        ("folder", "empty", {"hierarchy": "lip", "name": "cihp"}, "name of another dataset"),
    ],
)
def test_wrong_arguments(tmp_path, dataset, manual_dir, options, expected):
    (tmp_path / "empty").mkdir()
    with pytest.raises(InputError, match=expected):
        build(dataset, tmp_path / "data", manual_dir and tmp_path / manual_dir, **options)
    assert not (tmp_path / "data").exists()


def test_another_folder_is_told_what_the_datasets_holds(tmp_path, dataset):
    write(tmp_path / "raw" / "readme.txt", "not here")
    options = {"hierarchy": write_people(tmp_path / "people.json")} if dataset == "folder" else {}
    with pytest.raises(InputError, match=rf"{tmp_path / 'raw'}: .*hold") as caught:
        build(dataset, tmp_path / "data", tmp_path / "raw", **options)
    assert "\n" not in str(caught.value)
    assert "  " not in str(caught.value)


def test_a_check_counts_what_is_good_and_left_out_and_writes_nothing(raw, capsys):
    write_photo(raw, "0002", (40, 30), (0, LABEL_LIST.index("cape")))
    before = sorted(raw.parent.rglob("*"))
    assert check_raw("fashion_clothing", raw) == 0
    out = capsys.readouterr().out
    assert out == (
        "6 photos are good, 1 left out for labels without a class (1 cape), 0 problems\n"
    )
    assert sorted(raw.parent.rglob("*")) == before


COMMAND = "import sys; from hparse_jax.__main__ import main; sys.exit(main())"


def hparse_build(*arguments) -> subprocess.CompletedProcess:
    command = [sys.executable, "-c", COMMAND, "build", *map(str, arguments)]
    return subprocess.run(command, capture_output=True, text=True, check=False)


def test_the_command_checks_then_builds_without_what_is_bad(tmp_path):
    raw, data_dir = tmp_path / "raw", tmp_path / "data"
    for i in range(3):
        write_sample(raw, f"person{i}", seed=i)
    broken = write(raw / "labels" / "person1.png", b"")
    arguments = (
        "folder",
        f"--manual_dir={raw}",
        f"--data_dir={data_dir}",
        f"--hierarchy={write_people(tmp_path / 'people.json')}",
        "--name=people",
    )
    checked = hparse_build(*arguments, "--check")
    assert (checked.returncode, data_dir.exists()) == (1, False)
    assert f"{broken}: not a whole PNG (it is empty)" in checked.stdout
    built = hparse_build(*arguments, "--skip-bad", "--report")
    assert built.returncode == 0, built.stderr
    assert "1 train, 1 val photos; 1 problems skipped" in built.stdout
    assert (data_dir / "people" / "1.0.0" / "report.jpg").is_file()
    assert str(broken) in metadata(data_dir, "people")["skipped"][0]


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
    assert [path.name[:11] for path in folder.iterdir()] == ["incomplete."]
    with pytest.raises(InputError, match="hparse build fashion_clothing"):
        open_split(config(tmp_path / "data"), "train")
    target = build("fashion_clothing", tmp_path / "data", raw)
    assert list(folder.iterdir()) == [target]
    assert num_photos(config(tmp_path / "data"), "val") == 2
