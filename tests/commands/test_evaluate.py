"""LIP's analyses as a user runs them: `hparse evaluate` with its flags, then the scripts of
experiments/lip on its JSON. A random DeepLabV2 parses tiny drawn photos."""

import json
import os
import pathlib
import subprocess
import sys

import jax
import numpy as np
import pytest
from command_line import hparse
from PIL import Image
from raw_folders import jpeg, png, write

import hparse_jax
from hparse_jax.checkpoint import save_run
from hparse_jax.commands.evaluate import table
from hparse_jax.config import Config, ModelConfig
from hparse_jax.data.build import build
from hparse_jax.data.dataset import BuiltDataset
from hparse_jax.hierarchy import get_hierarchy
from hparse_jax.inference.evaluate import evaluate_split
from hparse_jax.metrics import segmentation_scores
from hparse_jax.models import build_model
from hparse_jax.models.build import initial_variables

SCRIPTS = pathlib.Path(__file__).parents[2] / "experiments" / "lip"
TABLES = SCRIPTS / "tables.py"
SIZE = (48, 40)
HEADLESS = "c"


def labels_of(photo_id, classes, head):
    """Noise of all classes; photo c has none of the head's."""
    labels = np.random.default_rng(ord(photo_id)).integers(0, classes, SIZE).astype(np.uint8)
    if photo_id == HEADLESS:
        labels[np.isin(labels, head)] = 0
    return labels


@pytest.fixture(scope="module")
def workdir(tmp_path_factory):
    """A run of LIP whose data_dir holds LIP (val: a, b, c) and ATR (test: d, e)."""
    folder = tmp_path_factory.mktemp("lip")
    for split, ids in (("train", "g"), ("val", "abc")):
        for i in ids:
            labels = labels_of(i, 20, (1, 2, 4, 13))
            write(folder / f"raw/lip/{split}_images/{i}.jpg", jpeg(SIZE, ord(i)))
            write(folder / f"raw/lip/{split}_segmentations/{i}.png", png(labels))
    for split, ids in (("train", "f"), ("test", "de")):
        write(folder / f"raw/humanparsing/{split}_id.txt", "\n".join(ids))
        for i in ids:
            write(folder / f"raw/humanparsing/JPEGImages/{i}.jpg", jpeg(SIZE, ord(i)))
            labels = png(labels_of(i, 18, ()))
            write(folder / f"raw/humanparsing/SegmentationClassAug/{i}.png", labels)
    for name in ("lip", "atr"):
        build(name, folder / "data", folder / "raw")
    model = ModelConfig(name="deeplab_v2", width=0.02, dtype="float32")
    config = Config(dataset="lip", data_dir=str(folder / "data"), model=model, eval_batch_size=2)
    hierarchy = get_hierarchy("lip").leaves_only()
    network = build_model(model, hierarchy)
    variables = jax.jit(initial_variables, static_argnums=(0, 1))(network, 0)
    save_run(folder / "run", config, hierarchy, variables)
    return folder / "run"


def run(*command, code=0):
    """What such a process prints: stdout, or with code 1 its one line on stderr."""
    done = subprocess.run(
        [sys.executable, *map(str, command)],
        capture_output=True,
        text=True,
        check=False,
        env={**os.environ, "PYTHONDONTWRITEBYTECODE": "1"},
    )
    assert done.returncode == code, done.stderr
    if code:
        (line,) = done.stderr.splitlines()
        return line
    return done.stdout


def picture_size(path):
    with Image.open(path) as picture:
        return picture.size


def evaluate(workdir, *options, code=0):
    return run("-m", "hparse_jax", "evaluate", f"--workdir={workdir}", *options, code=code)


@pytest.fixture(scope="module")
def report(workdir):
    """(file, JSON, printed text) of an evaluation with every analysis within LIP."""
    lists = workdir.parent
    write(lists / "all.txt", "a\nb\nc\n")
    write(lists / "occlusion.txt", "c\n")
    file = lists / "report.json"
    printed = evaluate(
        workdir,
        f"--factors={lists / 'all.txt'},{lists / 'occlusion.txt'},derived",
        "--object_sizes",
        "--input_sizes=65,153",
        "--scales=0.75",
        "--side=65",
        "--consistent",
        f"--output={file}",
    )
    return file, json.loads(file.read_text()), printed


def test_the_flags_land_in_the_json(report):
    _, tree, printed = report
    (parts,) = tree["levels"]
    assert (tree["scales"], tree["side"], tree["consistent"]) == ([0.75], 65, True)
    assert (tree["engine"], tree["precision"]) == ("jax", "float32")
    counts = {name: entry["images"] for name, entry in tree["factors"].items()}
    assert counts == {"all": 3, "occlusion": 1, "full-body": 2, "upper-body": 0, "head-missed": 1}
    derived = {name: entry["derived"] for name, entry in tree["factors"].items()}
    assert [name for name in derived if not derived[name]] == ["all", "occlusion"]
    # all photos together are the split; the photo of one list is that of another
    assert tree["factors"]["all"]["per_class"] == parts["per_class"]
    assert tree["factors"]["occlusion"]["iou"] == tree["factors"]["head-missed"]["iou"]
    sizes = {name: entry["images"] for name, entry in tree["object_sizes"].items()}
    assert sizes == {"small": 3, "medium": 0, "large": 0}
    assert tree["object_sizes"]["small"]["per_class"] == parts["per_class"]
    assert list(tree["input_sizes"]) == ["65", "153"]
    for text in ("head-missed", "(derived from labels)", "small", "input sizes"):
        assert text in printed


def test_input_sizes_are_scored_at_one_scale(report, workdir):
    parser = hparse_jax.load_parser(workdir, scales=(1.0,), side=65, consistent=True)
    dataset = BuiltDataset("lip", parser.config.data_dir)
    alone = evaluate_split(parser, dataset, "val", parser.hierarchy)
    assert report[1]["input_sizes"]["65"] == alone["levels"][0]
    assert report[1]["scales"] == [0.75]


@pytest.mark.parametrize(
    ("flag", "message"),
    [
        ("--input_sizes=\u00b2", "whole numbers in 17..2048"),
        ("--input_sizes=9000", "whole numbers in 17..2048"),
        ("--dataset=", "the name of a built dataset"),
        ("--output=.", "is a folder"),
        ("--side=16", "give 17..4096 pixels, or 0 for the photos' own size"),
    ],
)
def test_wrong_flags_are_refused_in_one_line(workdir, flag, message):
    assert message in evaluate(workdir, flag, code=1)


def test_a_precision_that_an_engine_lacks_is_named(workdir):
    done = hparse(
        "evaluate", f"--workdir={workdir}", "--engine=onnxruntime", "--precision=bfloat16"
    )
    message = "precision=bfloat16: onnxruntime has none on CPUs; give float32, or engine jax"
    assert (done.returncode, done.stderr) == (1, f"hparse evaluate: {message}\n")


def test_a_list_of_another_split_is_refused(workdir, tmp_path):
    write(tmp_path / "back-view.txt", "a\nd\n")
    before = sorted(workdir.iterdir())
    line = evaluate(workdir, f"--factors={tmp_path / 'back-view.txt'}", code=1)
    assert "back-view.txt: 1 ids are not in the split, the first is d" in line
    assert sorted(workdir.iterdir()) == before


def test_another_dataset_is_scored_over_the_common_classes(workdir):
    line = evaluate(workdir, "--dataset=atr", "--split=test", code=1)
    assert "add --correspondence" in line
    evaluate(workdir, "--dataset=atr", "--split=test", "--correspondence=lip_atr")
    file = workdir / "evaluation_atr_lip_atr_test_0.json"
    tree = json.loads(file.read_text())
    (common,) = tree["levels"]
    assert (tree["dataset"], tree["trained_on"], tree["images"]) == ("atr", "lip", 2)
    assert tree["correspondence"] == "lip_atr"
    assert (common["name"], len(common["per_class"])) == (
        "common",
        16,
    )  # all of ATR but belt and bag
    chart = file.with_suffix(".png")
    printed = run(TABLES, "table6_atr", f"Random={file}", f"--chart={chart}")
    assert f"{100 * common['mean_iou']:.2f}" in printed.splitlines()[-1]
    assert min(picture_size(chart)) > 100


@pytest.mark.parametrize(
    ("table", "paper", "value"),
    [
        ("table2", "42.92", lambda t: t["levels"][0]["pixel_accuracy"]),
        ("table6_object_sizes", "31.71", lambda t: t["object_sizes"]["small"]["mean_iou"]),
        ("table6_input_sizes", "38.97", lambda t: t["input_sizes"]["153"]["mean_iou"]),
        ("figure5", "112", lambda t: t["factors"]["head-missed"]["mean_iou"]),
    ],
)
def test_tables_show_the_papers_rows_beside_ours(report, tmp_path, table, paper, value):
    file, tree, _ = report
    chart = tmp_path / "chart.png"
    printed = run(TABLES, table, f"Random={file}", f"--chart={chart}")
    *above, ours = printed.splitlines()
    assert any(paper in line.split() for line in above)
    assert ours.startswith("Random (ours)")
    assert f"{100 * value(tree):.2f}" in ours.split()
    assert min(picture_size(chart)) > 100


def test_the_wide_table_4_has_a_line_for_each_class(report, tmp_path):
    file, tree, _ = report
    chart = tmp_path / "chart.png"
    systems, *classes = run(TABLES, "table4", f"Random={file}", f"--chart={chart}").splitlines()
    assert systems.split()[-4:] == ["Attention+SSL", "(paper)", "Random", "(ours)"]
    lines = {name: values for name, *values in map(str.split, classes)}
    assert lines["hair"][3] == "66.78"
    iou = tree["levels"][0]["iou"]
    assert {name: values[-1] for name, values in lines.items() if name != "mean"} == {
        name: f"{100 * value:.2f}" for name, value in iou.items()
    }
    assert max(picture_size(chart)) < 2000


def test_figures_of_counts(report, workdir, tmp_path):
    printed = run(TABLES, "figure4", f"val={report[0]}", f"--chart={tmp_path / '4.png'}")
    paper, ours = (line.split() for line in printed.splitlines()[1:])
    assert paper[-6:] == ["21028", "19081", "13672", "403", "3386", "2778"]
    assert ours[-6:] == ["1", "2", "0", "-", "1", "-"]
    metadata = workdir.parent / "data" / "lip" / "1.0.0" / "metadata.json"
    printed = run(TABLES, "figure3", f"lip={metadata}", f"--chart={tmp_path / '3.png'}")
    photos = dict(line.split() for line in printed.splitlines()[1:])
    assert (photos["hat"], photos["coat"], len(photos)) == ("3", "4", 19)
    assert min(picture_size(tmp_path / "3.png")) > 100


def test_joints_are_drawn_over_photos(workdir, tmp_path):
    picture = tmp_path / "figure7.jpg"
    figure7 = SCRIPTS / "figure7.py"
    assert "not a workdir" in run(figure7, f"--workdir={tmp_path}", "--output=x.jpg", code=1)
    none = run(figure7, f"--workdir={workdir}", "--output=x.jpg", "--photos=0", code=1)
    assert "--photos=0: give a number above 0" in none
    run(figure7, f"--workdir={workdir}", f"--output={picture}", "--photos=2")
    # two photos in one row, each with its true and its predicted joints
    with Image.open(picture) as sheet:
        pixels = np.asarray(sheet).astype(int)
    cell = round(320 * SIZE[1] / SIZE[0])
    assert pixels.shape == (320 + 2 * 8, 4 * cell + 5 * 8, 3)
    # labels of noise have their joints in the middle; only dots and letters are full colours
    rows, columns = np.nonzero(np.ptp(pixels[8:-8, 8 : 8 + cell], -1) > 150)
    assert 0.35 * 320 < np.median(rows) < 0.65 * 320
    assert 0.35 * cell < np.median(columns) < 0.75 * cell


def test_the_printed_table_has_every_class_and_mean():
    matrix = np.array([[70, 5, 5], [2, 6, 2], [0, 1, 9]])
    level = {"name": "parts", **segmentation_scores(matrix, ["background", "left", "right"])}
    report = {"dataset": "three", "split": "val", "step": 7, "images": 2, "scales": [0.5, 1.0]}
    report |= {"flip": True, "side": 513, "consistent": True}
    report |= {"engine": "openvino", "precision": "bfloat16", "levels": [level]}
    lines = table(report).splitlines()
    assert lines[0] == (
        "three val, step 7, 2 photos, scales 0.5, 1 with flip of photos with longer side 513, "
        "consistent, openvino bfloat16; in %"
    )
    rows = {
        line.rsplit(maxsplit=n)[0].strip(): line.split()[-n:]
        for line in lines[1:]
        for n in (4, 1)
        if len(line.split()) > n
    }
    # intersection over union: 70/82, 6/16, 9/17; precision: 70/72, 6/12, 9/16
    assert rows["background"][:2] == ["85.37", "97.22"]
    assert rows["left"][:2] == ["37.50", "50.00"]
    assert rows["right"][:2] == ["52.94", "56.25"]
    assert rows["mean"][0] == "58.60"
    assert rows["pixel accuracy"] == ["85.00"]
    assert rows["foreground accuracy"] == ["75.00"]
