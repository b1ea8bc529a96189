"""Files in, files out, with a network that calls red pixels left and blue ones right."""

import json
import os

import numpy as np
import pytest
from PIL import Image

from hparse_jax.commands.predict import predict
from hparse_jax.errors import InputError
from hparse_jax.inference import parse, photos, result, watch
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


def test_a_very_large_jpeg_is_read_reduced_and_labelled_at_its_own_size(
    tmp_path, make_parser, people, monkeypatch
):
    """The same labels but at the borders of the halves."""
    Image.fromarray(people(512, 320)).save(tmp_path / "large.jpg", quality=95)
    parser = make_parser(side=64, max_side=64)
    outputs = Outputs(parser.hierarchy, ("png", "npz", "rle"))
    shapes, found = [], {}
    stream = parser.stream

    def seen(images, *arguments):
        return stream(((item, shapes.append(x.shape) or x) for item, x in images), *arguments)

    monkeypatch.setattr(parser, "stream", seen)
    for large in (photos.LARGE, 5000):
        monkeypatch.setattr(photos, "LARGE", large)
        out = tmp_path / f"out{large}"
        assert predict(parser, [str(tmp_path / "large.jpg")], out, outputs) == 0
        found[large] = np.asarray(Image.open(out / "large.png"))
        with np.load(out / "large.npz") as arrays:
            assert arrays["body"].shape == (512, 320, 2)
        assert read_json(out / "annotations.json")["images"][0]["height"] == 512
    assert shapes == [(512, 320, 3), (128, 80, 3)]
    first, second = found.values()
    assert first.shape == second.shape == (512, 320)
    assert (first != second).mean() < 0.01


def test_a_name_too_long_for_its_results_does_not_stop_the_others(tmp_path, parser, people, capsys):
    longest = os.pathconf(tmp_path, "PC_NAME_MAX")
    for name in ("a.png", "b" * (longest - 5) + ".png"):
        Image.fromarray(people(60, 50)).save(tmp_path / name)
    assert predict(parser, [str(tmp_path)], tmp_path / "out") == 1
    assert (tmp_path / "out" / "a.json").is_file()
    assert capsys.readouterr().err.endswith("bbb.png: too long a name for its results\n")
    skip = {"skip_existing": True}
    assert predict(parser, [str(tmp_path)], tmp_path / "out", **skip) == 1


def test_the_summary_says_where_the_results_are_and_how_fast(tmp_path, parser, people, capsys):
    Image.fromarray(people(60, 50)).save(tmp_path / "a.png")
    predict(parser, [str(tmp_path)], tmp_path / "out")
    line = capsys.readouterr().out
    assert line.startswith(f"1 of 1 photographs parsed into {tmp_path / 'out'}, ")
    assert line.rstrip().endswith(" photographs/s")


def files(folder):
    """{relative path: time of its last change} of the files in a folder."""
    paths = [path for path in folder.rglob("*") if path.is_file()]
    return {path.relative_to(folder).as_posix(): path.stat().st_mtime_ns for path in paths}


def test_an_interrupted_call_continues_where_it_stopped(tmp_path, parser, people, capsys):
    folder, out = tmp_path / "in", tmp_path / "out"
    folder.mkdir()
    for name in "abc":
        Image.fromarray(people(60, 50)).save(folder / f"{name}.png")
    outputs = Outputs(parser.hierarchy, ("png", "json", "rle"), origin=parser.settings)
    assert predict(parser, [str(folder)], out, outputs) == 0
    whole = read_json(out / "annotations.json")
    (out / "b.json").unlink()  # as if stopped before it was written
    before = files(out)
    assert predict(parser, [str(folder)], out, outputs, skip_existing=True) == 0
    assert "1 of 1 photographs parsed" in (line := capsys.readouterr().out.splitlines()[-1])
    assert line.endswith("; 2 had their results")
    after = files(out)
    assert {name for name in after if after[name] != before.get(name)} == {
        "b.png",
        "b.json",
        "annotations.json",
    }
    again = read_json(out / "annotations.json")
    assert {i["file_name"] for i in again["images"]} == {"a.png", "b.png", "c.png"}
    # a photo whose annotations are not there is not complete
    again["images"] = again["images"][1:]
    kept = {image["id"] for image in again["images"]}
    again["annotations"] = [a for a in again["annotations"] if a["image_id"] in kept]
    (out / "annotations.json").write_text(json.dumps(again))
    predict(parser, [str(folder)], out, outputs, skip_existing=True)
    assert "1 of 1 photographs parsed" in capsys.readouterr().out
    final = read_json(out / "annotations.json")
    assert len(final["images"]) == 3
    assert len(final["annotations"]) == len(whole["annotations"])


def test_a_photo_that_was_replaced_is_parsed_again(tmp_path, parser, people, capsys):
    photo, out = tmp_path / "a.png", tmp_path / "out"
    Image.fromarray(people(60, 50)).save(photo)
    counts = []
    for seconds in (0, -10, 10):  # by which the photo is younger than its results
        if counts:
            Image.fromarray(people(70, 50)).save(photo)
            os.utime(photo, ((out / "a.json").stat().st_mtime + seconds,) * 2)
        predict(parser, [str(photo)], out, skip_existing=True)
        counts.append(capsys.readouterr().out[:6])
    assert counts == ["1 of 1", "0 of 0", "1 of 1"]
    assert read_json(out / "a.json")["height"] == 70


def test_ctrl_c_keeps_the_annotations_of_what_is_done(tmp_path, parser, people, monkeypatch):
    for name in "abcdef":
        Image.fromarray(people(60, 50)).save(tmp_path / f"{name}.png")
    outputs = Outputs(parser.hierarchy, ("json", "rle"), origin=parser.settings)
    stream = parser.stream

    def stopped(*arguments):
        for i, parsed in enumerate(stream(*arguments)):
            if i == 5:
                raise KeyboardInterrupt
            yield parsed

    monkeypatch.setattr(parse, "_AHEAD", 1)
    monkeypatch.setattr(parser, "stream", stopped)
    out = tmp_path / "out"
    with pytest.raises(KeyboardInterrupt):
        predict(parser, [str(tmp_path)], out, outputs)
    done = {image["file_name"] for image in read_json(out / "annotations.json")["images"]}
    assert {"a.png"} <= done < {f"{name}.png" for name in "abcdef"}
    assert {name.replace(".png", ".json") for name in done} <= set(files(out))


def test_a_photo_named_like_the_annotations_is_refused(tmp_path, parser, people):
    Image.fromarray(people(60, 50)).save(tmp_path / "annotations.jpg")
    outputs = Outputs(parser.hierarchy, ("json", "rle"))
    with pytest.raises(InputError, match=r"annotations\.jpg and belongs to the whole call"):
        predict(parser, [str(tmp_path)], tmp_path / "out", outputs)


def test_a_photo_that_changed_meanwhile_fails_alone(tmp_path, parser, people, capsys, monkeypatch):
    for name in "ab":
        Image.fromarray(people(60, 50)).save(tmp_path / f"{name}.png")
    read = result.read_photo

    def read_again(path):
        return people(61, 50) if path.name == "b.png" else read(path)

    monkeypatch.setattr(result, "read_photo", read_again)
    assert predict(parser, [str(tmp_path)], tmp_path / "out") == 1
    assert {path.name for path in (tmp_path / "out").glob("*.json")} == {"a.json"}
    message = capsys.readouterr().err
    assert "b.png: 50 x 61 pixels, and 50 x 60 when it was parsed" in message


def test_a_watched_folder_is_parsed_until_ctrl_c(tmp_path, parser, people, capsys, monkeypatch):
    folder, out = tmp_path / "in", tmp_path / "out"
    folder.mkdir()
    Image.fromarray(people(60, 50)).save(folder / "a.png")

    def bad():
        (folder / "bad.jpg").write_bytes(b"\xff\xd8 nothing")

    def late():
        Image.fromarray(people(60, 50)).save(folder / "sub.png")

    steps = iter([late, int, int, bad, int, int])

    def sleep(seconds):
        step = next(steps, None)
        if step is None:
            raise KeyboardInterrupt
        step()

    monkeypatch.setattr(watch.time, "sleep", sleep)
    outputs = Outputs(parser.hierarchy, ("png", "json", "rle"), origin=parser.settings)
    assert predict(parser, [str(folder)], out, outputs, watch=True) == 1  # one is bad
    told = capsys.readouterr()
    assert told.out.splitlines() == [
        f"watching {folder} until Ctrl-C; results in {out}",
        f"2 of 3 photographs parsed into {out}",
    ]
    assert "bad.jpg: not a readable photograph" in told.err
    images = read_json(out / "annotations.json")["images"]
    assert [image["file_name"] for image in images] == ["a.png", "sub.png"]
    (folder / "bad.jpg").unlink()
    steps = iter([int, int])
    arguments = {"skip_existing": True, "watch": True}
    assert predict(parser, [str(folder)], out, outputs, **arguments) == 0
    assert "0 of 0 photographs parsed" in capsys.readouterr().out
