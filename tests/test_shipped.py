"""The parser that comes with the package: what its file holds, and that it parses as recorded.

shipped/drawn.png and shipped/street.png are the label maps of `hparse predict` on the machine that
the file was made on: of the image of `draw(23, 0)` and of the photograph STREET. A new file needs
new ones:

    hparse predict --formats=png --output=tests/shipped drawn.png street.jpg
"""

import hashlib
import json
import pathlib

import cv2
import jax
import numpy as np
import pytest
import safetensors
from command_line import hparse
from PIL import Image

import hparse_jax
from hparse_jax.checkpoint import load_run
from hparse_jax.data.synthetic.people import draw
from hparse_jax.inference.photos import read_photo

ROOT = pathlib.Path(__file__).parents[1]
FILE = ROOT / "hparse_jax" / "weights" / "street.safetensors"
STREET = ROOT.parent / "shared" / "data" / "street-photos" / "1005.jpg"
SHARE = 0.995  # of the pixels of a photo; other processors round differently


@pytest.fixture(scope="module")
def parser():
    return hparse_jax.load_parser()


def recorded(name: str) -> np.ndarray:
    return np.asarray(Image.open(pathlib.Path(__file__).parent / "shipped" / name))


def test_a_drawn_person_is_found_and_parsed_as_recorded(parser):
    image, truth = draw(23, 0)
    labels, before = parser(image).labels, recorded("drawn.png")
    person, found = truth > 0, labels > 0
    assert (person & found).sum() > 0.9 * (person | found).sum()
    assert np.mean((labels == before)[found | (before > 0)]) >= SHARE


@pytest.mark.skipif(not STREET.exists(), reason="the photographs are not beside the checkout")
def test_a_street_photograph_is_parsed_as_recorded(parser):
    labels = parser(read_photo(STREET)).labels
    assert np.mean(labels == recorded("street.png")) >= SHARE


def test_the_file_is_at_most_20_megabytes_of_half_precision():
    assert FILE.stat().st_size <= 20e6
    with safetensors.safe_open(FILE, "np") as opened:
        types = {name: opened.get_slice(name).get_dtype() for name in opened.keys()}  # noqa: SIM118
    kernels = {kind for name, kind in types.items() if name.endswith("/kernel")}
    assert kernels == {"F16"}


def test_its_metadata_say_what_it_is_and_name_no_folder():
    with safetensors.safe_open(FILE, "np") as opened:
        metadata = opened.metadata()
    header = json.loads(metadata["header"])
    assert metadata["version"]
    assert "Clothing Co-Parsing" in header["note"]
    assert [level["name"] for level in header["hierarchy"]["levels"]] == ["parts", "halves", "body"]
    assert header["config"]["mean"] == [123.675, 116.28, 103.53]
    assert "/" not in json.dumps(header["config"])


def test_it_is_the_full_model():
    model = load_run("shipped").config.model
    assert model.hierarchy
    assert model.bottom_up
    assert model.top_down
    assert model.fusion == "conditional"


def test_it_is_the_file_of_the_model_card():
    """Whoever replaces the file measures anew."""
    digest = hashlib.sha256(FILE.read_bytes()).hexdigest()
    assert digest in (ROOT / "docs" / "model_card.md").read_text()


def test_no_weight_is_missing_or_not_finite():
    leaves = jax.tree.leaves(load_run("shipped").variables)
    assert sum(x.size for x in leaves) > 1e6
    assert all(np.isfinite(x).all() for x in leaves)


def test_predict_without_a_workdir_says_in_one_line_what_it_takes(tmp_path):
    cv2.imwrite(str(tmp_path / "a.png"), draw(0, 0)[0][..., ::-1])
    done = hparse("predict", f"--output={tmp_path / 'out'}", str(tmp_path / "a.png"))
    assert done.returncode == 0
    assert done.stderr.count("\n") == 1
    assert done.stderr.startswith("no --workdir is given: the bundled parser, CNIF ")
    assert (tmp_path / "out" / "a.png").is_file()
