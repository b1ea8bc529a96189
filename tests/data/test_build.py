import shutil
import signal
import subprocess
import sys
import time

import pytest
from ccp_folder import LABEL_LIST, write_photo

from hparse_jax.config import Config
from hparse_jax.data import build as build_module
from hparse_jax.data.build import build
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
    ("dataset", "manual_dir", "expected"),
    [
        ("fashion", None, "known are synthetic, fashion_clothing"),
        ("fashion_clothing", None, "--manual_dir is missing"),
        ("fashion_clothing", "nowhere", "no such folder"),
        ("fashion_clothing", "empty", "empty"),
    ],
)
def test_wrong_arguments(tmp_path, dataset, manual_dir, expected):
    (tmp_path / "empty").mkdir()
    with pytest.raises(InputError, match=expected):
        build(dataset, tmp_path / "data", manual_dir and tmp_path / manual_dir)
    assert not (tmp_path / "data").exists()


def test_a_killed_build_reads_as_not_built_and_is_cleared_away(raw, tmp_path):
    code = (
        "import sys, time; from hparse_jax.data.builders.fashion_clothing import FashionClothing\n"
        "generate = FashionClothing._generate_examples\n"
        "def slow(self, *arguments):\n"
        "    for example in generate(self, *arguments):\n"
        "        yield example\n"
        "        print(flush=True); time.sleep(60)\n"
        "FashionClothing._generate_examples = slow\n"
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


def test_the_verb_wants_one_dataset(capsys):
    assert build_module.main([]) == 2
    assert "usage: hparse build DATASET" in capsys.readouterr().err
