"""The verb `build`: what it prints, and its exit codes."""

import subprocess
import sys

import pytest
from ccp_folder import LABEL_LIST, write_photo, write_raw
from raw_folders import metadata, write, write_people, write_sample

from hparse_jax.commands import build
from hparse_jax.errors import InputError, UsageError


@pytest.fixture
def raw(tmp_path):
    """A folder in Clothing Co-Parsing's layout; of photo 0002 a label has no class."""
    raw = write_raw(tmp_path / "raw" / "clothing-co-parsing")
    write_photo(raw, "0002", (40, 30), (0, LABEL_LIST.index("cape")))
    return raw


@pytest.mark.parametrize("arguments", [[], ["lip", "cihp"]])
def test_the_verb_wants_one_dataset(arguments):
    with pytest.raises(UsageError, match="which dataset"):
        build.main(arguments)


def test_a_check_prints_problems_then_counts(raw, capsys):
    assert build.check_and_print("fashion_clothing", raw) == 0
    out = capsys.readouterr().out
    assert out == "6 photos are good, 1 left out for labels without a class (1 cape), 0 problems\n"
    broken = write(raw / "photos" / "0003.jpg", b"")
    assert build.check_and_print("fashion_clothing", raw) == 1
    problem, summary = capsys.readouterr().out.splitlines()
    assert problem.startswith(f"{broken}: not a whole JPEG or PNG (it is empty)")
    assert summary.startswith("5 photos are good, 1 left out")
    assert summary.endswith(", 1 problems")


def test_a_build_prints_photos_sizes_and_shares_once(raw, tmp_path, capsys):
    target = build.build_and_print("fashion_clothing", tmp_path / "data", raw)
    first, *table = capsys.readouterr().out.splitlines()
    counts = "4 train, 2 val photos; 1 left out for labels without a class (1 cape)"
    assert first == f"fashion_clothing is built in {target}: {counts}"
    assert [line.split() for line in table[:3]] == [
        ["train", "val"],
        # the sides of 0001, 0003, 0004 and 0005, and of 0006 and 0007; medians rounded down
        ["height", "min", "median", "max", "24", "52", "150", "33", "81", "130"],
        ["width", "min", "median", "max", "30", "57", "90", "48", "72", "97"],
    ]
    shares = {line.split()[0]: line.split()[-2:] for line in table[3:]}
    assert shares["scarf"] == ["0.00%", "0.00%"]
    for split in range(2):  # stripes of four classes, one of them background
        total = sum(float(cells[split].rstrip("%")) for cells in shares.values())
        assert total == pytest.approx(100, abs=0.1)
        assert 24 < float(shares["skin"][split].rstrip("%")) < 26
    build.build_and_print("fashion_clothing", tmp_path / "data", raw)
    assert capsys.readouterr().out.splitlines() == [
        f"fashion_clothing is already built in {target}: {counts}",
        "remove that folder to build it again from changed raw files",
    ]


def test_a_build_of_atr_says_that_chictopia_is_left_out(tmp_path, capsys):
    folders = ("JPEGImages", "SegmentationClassAug")
    for i, name in enumerate([*(f"fash_{i}" for i in range(9)), "dataset10k_1", "dataset10k_2"]):
        write_sample(tmp_path / "raw", name, seed=i, folders=folders)
    target = build.build_and_print("atr", tmp_path / "data", tmp_path / "raw")
    counts = "7 train, 1 val, 1 test photos; 2 of Chictopia left out (--chictopia adds them)"
    assert capsys.readouterr().out.splitlines()[0] == f"atr is built in {target}: {counts}"


def test_what_stops_a_build_is_listed_on_stderr_up_to_twenty(tmp_path, capsys):
    for i in range(23):
        write_sample(tmp_path / "raw", f"person{i:02d}", seed=i)
        write(tmp_path / "raw" / "labels" / f"person{i:02d}.png", b"")
    hierarchy = write_people(tmp_path / "people.json")
    expected = "^23 problems in the raw files; check lists them all, skip_bad builds without"
    with pytest.raises(InputError, match=expected):
        build.build_and_print(
            "folder", tmp_path / "data", tmp_path / "raw", hierarchy=hierarchy, skip_bad=False
        )
    out, err = capsys.readouterr()
    assert out == ""
    assert len(err.splitlines()) == 20
    assert all(": not a whole PNG (it is empty)" in line for line in err.splitlines())


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
    report = data_dir / "people" / "1.0.0" / "report.jpg"
    assert report.is_file()
    assert f"report: {report}" in built.stdout
    assert str(broken) in metadata(data_dir, "people")["skipped"][0]
