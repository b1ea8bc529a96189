"""Videos on disk -> overlay videos and results of frames."""

import dataclasses
import os

import av
import numpy as np
import pytest
from PIL import Image
from videos import BLOCK, RED, FindsRed, picture, write

from hparse_jax.errors import InputError
from hparse_jax.inference.outputs import Outputs
from hparse_jax.inference.parse_video import VideoOutputs, find_videos, parse_video
from hparse_jax.inference.video import open_video


def test_the_overlay_shows_every_frame_at_its_time(tmp_path):
    write(tmp_path / "a.mp4", (0, 40, 90, 200), rotation=90)
    count = parse_video(FindsRed(), tmp_path / "a.mp4", tmp_path / "out" / "a", VideoOutputs())
    assert count == 4
    assert [path.name for path in (tmp_path / "out").iterdir()] == ["a_overlay.mp4"]
    with open_video(tmp_path / "out" / "a_overlay.mp4") as video:
        frames = list(video.frames())
        shown = [float(frame.pts * video.time_base) for frame in frames]
    np.testing.assert_allclose(shown, [0, 0.04, 0.09, 0.2], atol=1e-4)
    assert frames[0].image.shape == (64, 48, 3)  # upright
    # the colour of the class is blended over the block, outside the photo stays
    first = frames[0].image.astype(int)
    assert np.abs(first[64 - 4, 4] - (255, 0, 0)).max() > 40
    assert np.abs(first[4, 30] - 90).max() < 12


def test_single_frames_get_the_files_of_photographs(tmp_path):
    write(tmp_path / "a.mp4", (0, 40, 80, 120, 160))
    wanted = VideoOutputs(overlay=False, frames=Outputs(RED, ("png", "json")), every=2)
    results = tmp_path / "out" / "a"
    assert parse_video(FindsRed(), tmp_path / "a.mp4", results, wanted) == 3
    names = sorted(path.name for path in results.iterdir())
    assert names == [f"{n:06}{end}" for n in (0, 2, 4) for end in (".json", ".png")]
    assert not results.with_name("a_overlay.mp4").exists()
    with Image.open(results / "000002.png") as labels:
        found = np.array(labels)
    expected = (picture(2)[..., 1] == 0).astype(np.uint8)
    assert (found != expected).mean() < 0.02
    assert found[BLOCK // 2, BLOCK * 5 // 2] == 1


def test_results_are_complete_when_all_are_there_as_asked_and_not_older(tmp_path):
    path, results = tmp_path / "a.mp4", tmp_path / "out" / "a"
    write(path, (0, 40, 80, 120, 160))
    asked = VideoOutputs(frames=Outputs(RED, ("png", "json")), every=2, origin={"scales": (1, 2)})
    assert not asked.are_complete(path, results)
    parse_video(FindsRed(), path, results, asked)
    assert asked.are_complete(path, results)
    other = {"classes": ("red",), "every": 1, "smooth": 0.5, "origin": {"scales": (1,)}}
    other |= {"frames": Outputs(RED, ("npz", "json")), "overlay": False}
    for name, value in other.items():
        assert not dataclasses.replace(asked, **{name: value}).are_complete(path, results), name

    overlay = results.with_name("a_overlay.mp4")
    state, whole = overlay.stat(), overlay.read_bytes()
    for seconds in (-10, 10):  # by which the video is younger than its overlay
        os.utime(path, (state.st_mtime + seconds,) * 2)
        assert asked.are_complete(path, results) == (seconds < 0)
    os.utime(path, (0, 0))
    (results / "000004.json").rename(results / "away.json")
    assert not asked.are_complete(path, results)
    (results / "away.json").rename(results / "000004.json")
    overlay.write_bytes(whole[: len(whole) // 2])
    assert not asked.are_complete(path, results)
    write(overlay, (0, 40, 80))  # a video of someone else's
    assert not asked.are_complete(path, results)
    overlay.write_bytes(whole)
    assert asked.are_complete(path, results)


def test_a_broken_video_leaves_no_overlay(tmp_path):
    write(tmp_path / "a.mp4", range(0, 400, 40))

    class Breaks(FindsRed):
        def stream(self, photos, batch_size=None, announce=None):
            for number, one in enumerate(super().stream(photos)):
                if number == 3:
                    raise InputError("a.mp4: broken")
                yield one

    with pytest.raises(InputError, match="broken"):
        parse_video(Breaks(), tmp_path / "a.mp4", tmp_path / "out" / "a", VideoOutputs())
    assert not list((tmp_path / "out").iterdir())


def test_a_long_video_is_read_as_it_is_parsed(tmp_path):
    """No frame is decoded long before it is needed."""
    write(tmp_path / "a.mp4", range(0, 4000, 40))
    decoded, parsed = [], []

    class Counts(FindsRed):
        def stream(self, photos, batch_size=None, announce=None):
            def counted():
                for frame, image in photos:
                    decoded.append(frame.number)
                    yield frame, image

            for frame, result in super().stream(counted()):
                parsed.append(frame.number)
                assert len(decoded) - len(parsed) <= 1
                yield frame, result

    wanted = VideoOutputs()
    assert parse_video(Counts(), tmp_path / "a.mp4", tmp_path / "out" / "a", wanted) == 100
    with av.open(str(tmp_path / "out" / "a_overlay.mp4")) as container:
        assert container.streams.video[0].frames == 100


def test_what_cannot_be_a_video_is_left_to_photographs(tmp_path):
    """A name that no file can have, and a link to itself."""
    (tmp_path / "loop.mp4").symlink_to(tmp_path / "loop.mp4")
    names = ["x" * 300 + ".jpg", str(tmp_path / "loop.mp4")]
    found = find_videos(names, tmp_path / "out")
    assert [path.name for path, _ in found] == ["loop.mp4"]


def test_videos_are_found_by_name_and_in_folders(tmp_path):
    for name in ("clips/day/a.mp4", "clips/b.MOV", "clips/c.jpg", "clips/.hidden.mp4", "d.webm"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).touch()
    out = tmp_path / "clips" / "out"
    (out / "old").mkdir(parents=True)
    (out / "old" / "x_overlay.mp4").touch()
    found = find_videos([tmp_path / "clips", tmp_path / "d.webm"], out)
    assert found == [
        (tmp_path / "clips/b.MOV", out / "b"),
        (tmp_path / "clips/day/a.mp4", out / "day/a"),
        (tmp_path / "d.webm", out / "d"),
    ]
    (tmp_path / "clips/d.mp4").touch()
    with pytest.raises(InputError, match="would share"):
        find_videos([tmp_path / "clips", tmp_path / "d.webm"], out)
