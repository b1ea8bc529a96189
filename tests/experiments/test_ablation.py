"""CNIF's ablation: its tables from numbers computed by hand, a tiny campaign from end to end."""

import functools
import json
import pathlib
import signal
import sys
from unittest import mock

import pytest
from absl import flags
from load_script import load_script

import hparse_jax.commands.train  # noqa: F401, its libraries define flags of their own, once
from hparse_jax.errors import InputError
from hparse_jax.workdir import read_settings

CNIF = pathlib.Path(__file__).parents[2] / "experiments" / "cnif"
COPY = pathlib.Path(__file__).parents[3] / "shared" / "reference" / "paper_tables.json"
LEVELS = ("parts", "halves", "body")


@pytest.fixture(scope="module")
def ablation():
    return load_script("cnif/ablation.py")


def report(*means, **changed):
    levels = [{"name": x, "mean_iou": mean} for x, mean in zip(LEVELS, means, strict=False)]
    common = {"dataset": "a", "split": "val", "images": 83, "step": 9, "scales": [0.5, 1.0]}
    return common | {"side": 0, "flip": True, "levels": levels} | changed


@pytest.fixture
def reports():
    """Seed 2 is not complete: it has direct alone."""
    return {
        "backbone": {0: report(0.20), 1: report(0.25)},
        "direct": {
            0: report(0.22, 0.60, 0.90),
            1: report(0.24, 0.70, 0.90),
            2: report(0.26, 0.80, 0.90),
        },
        "full": {0: report(0.30, 0.61, 0.89)},
    }


def cells(text, first):
    (line,) = (line for line in text.splitlines() if line.startswith(f"| {first} |"))
    return [cell.strip() for cell in line.split("|")[2:-1]]


def test_means_and_deviations_are_those_of_the_seeds(ablation, reports):
    rows = ablation.summary(reports)["rows"]
    # of 0.20 and 0.25: sqrt(2 * 0.025^2 / 1); of 0.6, 0.7 and 0.8: sqrt(2 * 0.1^2 / 2)
    assert rows["backbone"]["parts"]["mean"] == pytest.approx(0.225)
    assert rows["backbone"]["parts"]["sd"] == pytest.approx(0.05 / 2**0.5)
    assert rows["backbone"]["body"] == {"seeds": {}, "mean": None, "sd": None}
    assert rows["direct"]["halves"]["mean"] == pytest.approx(0.7)
    assert rows["direct"]["halves"]["sd"] == pytest.approx(0.1)
    assert rows["full"]["halves"] == {"seeds": {0: 0.61}, "mean": 0.61, "sd": None}


def test_differences_are_paired_by_seed(ablation, reports):
    differences = {(x["row"], x["minus"]): x for x in ablation.summary(reports)["differences"]}
    assert set(differences) == {("direct", "backbone"), ("full", "backbone"), ("full", "direct")}
    # seeds 0 and 1 alone: +0.02 and -0.01
    parts = differences["direct", "backbone"]["parts"]
    assert parts["seeds"] == pytest.approx({0: 0.02, 1: -0.01})
    assert parts["mean"] == pytest.approx(0.005)
    assert parts["sd"] == pytest.approx(0.03 / 2**0.5)
    assert differences["direct", "backbone"]["halves"]["seeds"] == {}
    assert differences["full", "direct"]["body"]["seeds"] == pytest.approx({0: -0.01})


def test_the_text_shows_ours_beside_the_papers(ablation, reports):
    paper = json.loads((CNIF / "paper.json").read_text())["table6"]["rows"]
    text = ablation.markdown(ablation.summary(reports) | {"unfinished": []}, paper)
    assert "83 photos, step 9, scales 0.5, 1 with flip" in text
    assert cells(text, "backbone") == ["22.50 ± 3.54 (2)", "-", "-", "64.14", "-", "-"]
    ours = ["30.00 (1)", "61.00 (1)", "89.00 (1)"]
    assert cells(text, "full model") == [*ours, "70.76", "81.62", "91.31"]
    # the paper: 65.27 - 64.14; 70.76 - 65.27, 81.62 - 77.83, 91.31 - 88.29
    ours = ["+0.50 ± 2.12 (1 of 2)", "-", "-"]
    assert cells(text, "direct less backbone") == [*ours, "+1.13", "-", "-"]
    ours = ["+8.00 (1 of 1)", "+1.00 (1 of 1)", "-1.00 (0 of 1)"]
    assert cells(text, "full model less direct") == [*ours, "+5.49", "+3.79", "+3.02"]


def test_every_row_of_the_paper_is_one_of_ours(ablation):
    paper = json.loads((CNIF / "paper.json").read_text())["table6"]["rows"]
    assert list(paper) == [name for name, _ in list(ablation.ROWS.values())[:6]]
    if not COPY.is_file():
        pytest.skip("needs shared/reference/paper_tables.json beside the checkout")
    copy = json.loads(COPY.read_text())["cnif_table6_ablation_pascal_person_part_miou"]
    assert list(paper.values()) == list(copy.values())[1:]


@pytest.mark.parametrize("changed", [{"flip": False}, {"step": 8}, {"scales": [1.0]}])
def test_evaluations_made_in_other_ways_are_refused(ablation, reports, changed):
    reports["full"][0] |= changed
    with pytest.raises(InputError, match=r"full/seed0/evaluation.json: (flip|step|scales) is"):
        ablation.summary(reports)
    with pytest.raises(InputError, match="no run is finished"):
        ablation.summary({"full": {}})


@pytest.fixture
def campaign(ablation, built, tmp_path, capsys):
    """A function: runs the script on seven tiny photos; its exit code and what it prints."""

    def run(*arguments):
        own = set(flags.FLAGS)
        command = [
            "ablation.py",
            f"--folder={tmp_path / 'work'}",
            f"--data_dir={built}",
            *("--config.steps=1", "--config.batch_size=1", "--config.crop=33,33"),
            *("--config.model.width=0.05", "--config.eval_side=65"),
            *arguments,
        ]
        before = signal.getsignal(signal.SIGTERM)
        try:
            with mock.patch.object(sys, "argv", command):
                code = ablation.main()
        except SystemExit as end:
            code = end.code
        finally:
            signal.signal(signal.SIGTERM, before)
            for name in set(flags.FLAGS) - own:
                delattr(flags.FLAGS, name)
        return code, capsys.readouterr().out

    return run


def test_a_stopped_campaign_has_whole_seeds_and_resumes(ablation, campaign, tmp_path, monkeypatch):
    """Training and scoring are stand-ins here: the fourth run trains, then SIGTERM comes."""
    folder, trained, scored = tmp_path / "work", [], []

    def train(config, workdir):
        trained.append((workdir.parent.name, config.seed, config.model))
        (workdir / "checkpoints" / "1").mkdir(parents=True, exist_ok=True)
        if len(trained) == 4:
            signal.raise_signal(signal.SIGTERM)
        return True

    def evaluate_split(parser, dataset, split, hierarchy, **_):
        scored.append(trained[-1][:2])
        means = (0.2, 0.6, 0.9) if trained[-1][2].hierarchy else (0.2,)
        return report(*means, **parser | {"scales": list(parser["scales"])})

    class Parser(dict):
        hierarchy = None

    monkeypatch.setattr(ablation, "train", train)
    runs = sys.modules["runs"]
    monkeypatch.setattr(runs, "evaluate_split", evaluate_split)
    monkeypatch.setattr(runs, "load_parser", lambda workdir, **views: Parser(views))
    campaign = functools.partial(campaign, "--seeds=3,5", "--rows=full,backbone,both")

    assert campaign()[0] == 143
    rows = ("backbone", "both", "full")  # the order of Table 6
    seed3, seed5 = [(row, 3) for row in rows], [(row, 5) for row in rows]
    assert [run[:2] for run in trained] == [*seed3, seed5[0]]
    assert scored == seed3
    models = {row: (x.hierarchy, x.bottom_up, x.top_down, x.fusion) for row, _, x in trained}
    assert models["both"] == (True, True, True, "unconditional")
    assert models["full"] == (True, True, True, "conditional")
    assert models["backbone"][0] is False
    code, printed = campaign("--tables")
    assert code == 0
    assert (
        "Unfinished, hence not in the tables: backbone seed 5 (saved at step 1), "
        "both seed 5 (not started), full seed 5 (not started)." in printed
    )

    assert campaign()[0] == 0
    assert [run[:2] for run in trained[4:]] == [*seed3, *seed5]  # which says that seed 3 is done
    assert scored == [*seed3, *seed5]
    tree = json.loads((folder / "ablation.json").read_text())
    assert tree["unfinished"] == []
    assert tree["rows"]["both"]["halves"] == {"seeds": {"3": 0.6, "5": 0.6}, "mean": 0.6, "sd": 0.0}
    assert (folder / "ablation.png").read_bytes().startswith(b"\x89PNG")
    assert (folder / "ablation.md").read_text().startswith("# Ablation: a val")

    # other views: all are scored again
    assert campaign("--flip")[0] == 0
    assert scored == 2 * [*seed3, *seed5]
    assert json.loads((folder / "ablation.json").read_text())["flip"] is True


def test_a_run_of_the_campaign_is_one_of_hparse_train(campaign, tmp_path):
    code, _ = campaign("--seeds=7", "--rows=backbone")
    assert code == 0
    workdir = tmp_path / "work/backbone/seed7"
    config, hierarchy = read_settings(workdir)
    assert (config.seed, config.steps, config.model.hierarchy) == (7, 1, False)
    assert len(hierarchy.levels) == 1
    scores = json.loads((workdir / "evaluation.json").read_text())
    assert (scores["dataset"], scores["images"], scores["step"]) == ("fashion_clothing", 2, 1)
    mean = scores["levels"][0]["mean_iou"]
    tree = json.loads((tmp_path / "work/ablation.json").read_text())
    assert tree["rows"]["backbone"]["parts"] == {"seeds": {"7": mean}, "mean": mean, "sd": None}
    with pytest.raises(InputError, match=r"holds a run with config\.steps=1, not 2"):
        campaign("--seeds=7", "--rows=backbone", "--config.steps=2")
