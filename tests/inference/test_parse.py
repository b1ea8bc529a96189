"""Files in, files out, with a network that calls red pixels left and blue ones right."""

import json

import numpy as np
import pytest
from PIL import Image

from hparse_jax.commands.predict import predict
from hparse_jax.errors import InputError
from hparse_jax.inference.outputs import Outputs


def read_json(path):
    return json.loads(path.read_text())


def test_every_photo_gets_its_files(tmp_path, parser, people, capsys):
    folder, out = tmp_path / "in", tmp_path / "out"
    (folder / "sub").mkdir(parents=True)
    sizes = {"a": (100, 80), "b": (140, 60), "sub/c": (97, 97)}
    for name, size in sizes.items():
        Image.fromarray(people(*size)).save(folder / f"{name}.png")
    outputs = Outputs(parser.hierarchy, levels=True, origin=parser.settings)
    assert predict(parser, [str(folder)], out, outputs, batch_size=2) == 0
    for name, size in sizes.items():
        labels = Image.open(out / f"{name}.png")
        assert labels.mode == "P"
        labels = np.asarray(labels)
        assert labels.shape == size
        coarse = np.asarray(Image.open(out / f"{name}_body.png"))
        assert set(np.unique(coarse)) <= {0, 1}
        with Image.open(out / f"{name}_overlay.jpg") as shown:
            assert (shown.width > size[1], shown.height >= size[0]) == (True, True)
        report = read_json(out / f"{name}.json")
        assert (report["height"], report["width"], report["step"]) == (*size, 7)
        parts, body = report["levels"]
        assert [c["name"] for c in parts["classes"]] == ["background", "left", "right"]
        assert sum(c["share"] for c in parts["classes"]) == pytest.approx(1, abs=2e-4)
        for found in parts["classes"]:
            rows, columns = np.nonzero(labels == found["id"])
            assert found["share"] == round(len(rows) / labels.size, 4)
            box = [columns.min(), rows.min(), columns.max() + 1, rows.max() + 1]
            assert found["box"] == box
        assert set(parts["gates"]) == {"background", "left", "right"}
        assert set(body["gates"]["person"]) == {"direct"}
        # red is left, blue is right
        assert labels[size[0] // 2, size[1] // 4] == 1
        assert labels[size[0] // 2, 3 * size[1] // 4] == 2
    names = {p.relative_to(out).as_posix() for p in out.rglob("*") if p.is_file()}
    endings = (".png", "_overlay.jpg", ".json", "_body.png")
    assert names == {name + ending for name in sizes for ending in endings}


def test_a_bad_file_does_not_stop_the_others(tmp_path, parser, people, capsys):
    for name in ("a.png", "z.png"):
        Image.fromarray(people(60, 50)).save(tmp_path / name)
    (tmp_path / "bad.jpg").write_bytes(b"\xff\xd8 nothing")
    inputs = [str(tmp_path), str(tmp_path / "gone.jpg")]
    assert predict(parser, inputs, tmp_path / "out") == 1
    written = sorted(p.name for p in (tmp_path / "out").glob("*.json"))
    assert written == ["a.json", "z.json"]
    listed = capsys.readouterr().err
    assert "bad.jpg" in listed
    assert "gone.jpg" in listed
    assert "a.png" not in listed


def test_only_bad_files_still_means_failure(tmp_path, parser, capsys):
    (tmp_path / "bad.jpg").write_bytes(b"")
    assert predict(parser, [str(tmp_path)], tmp_path / "out") == 1
    assert not list(tmp_path.glob("out/*"))


def test_no_photo_is_an_input_error(tmp_path, parser):
    with pytest.raises(InputError, match="no photograph"):
        predict(parser, [str(tmp_path)], tmp_path / "out")


def test_a_turned_photo_is_labelled_upright(tmp_path, parser, people):
    photo = people(120, 80)
    exif = Image.Exif()
    exif[0x0112] = 6  # stored turned to the left: shown turned to the right
    Image.fromarray(np.rot90(photo, 1).copy()).save(tmp_path / "turned.png", exif=exif)
    Image.fromarray(photo).save(tmp_path / "upright.png")
    assert predict(parser, [str(tmp_path)], tmp_path / "out") == 0
    turned, upright = (
        np.asarray(Image.open(tmp_path / "out" / f"{name}.png")) for name in ("turned", "upright")
    )
    np.testing.assert_array_equal(turned, upright)


def test_a_large_photo_is_labelled_at_its_own_size(tmp_path, make_parser, traces, people):
    Image.fromarray(people(500, 300)).save(tmp_path / "large.png")
    assert predict(make_parser(max_side=128), [str(tmp_path)], tmp_path / "out") == 0
    labels = np.asarray(Image.open(tmp_path / "out" / "large.png"))
    assert labels.shape == (500, 300)
    assert labels[250, 80] == 1
    assert labels[250, 220] == 2
    assert max(traces.seen[0]) == 129


def test_the_summary_says_where_the_results_are_and_how_fast(tmp_path, parser, people, capsys):
    Image.fromarray(people(60, 50)).save(tmp_path / "a.png")
    predict(parser, [str(tmp_path)], tmp_path / "out")
    line = capsys.readouterr().out
    assert line.startswith(f"1 of 1 photographs parsed into {tmp_path / 'out'}, ")
    assert line.rstrip().endswith(" photographs/s")
