"""Reading and writing videos: times, sizes, rotation, broken files, averages in time."""

import av
import numpy as np
import pytest
from videos import BLOCK, FindsRed, picture, write

from hparse_jax.errors import InputError
from hparse_jax.inference.video import Frame, open_video, smoothed, write_video

TIMES = (0, 40, 50, 200, 240)


def seconds(path):
    with av.open(str(path)) as container:
        return [float(frame.pts * frame.time_base) for frame in container.decode(video=0)]


@pytest.mark.parametrize("every", [1, 2, 5])
def test_every_nth_frame_comes_with_its_own_time(tmp_path, every):
    write(tmp_path / "a.mp4", TIMES)
    with open_video(tmp_path / "a.mp4") as video:
        frames = list(video.frames(every))
        assert [frame.number for frame in frames] == list(range(0, 5, every))
        shown = [float(frame.pts * video.time_base) for frame in frames]
    np.testing.assert_allclose(shown, np.array(TIMES[::every]) / 1000, atol=1e-6)
    for frame in frames:
        difference = np.abs(frame.image.astype(int) - picture(frame.number % 4))
        assert difference.mean() < 3


@pytest.mark.parametrize("turns", [1, 2, 3])
def test_frames_are_turned_as_their_tag_says(tmp_path, turns):
    write(tmp_path / "a.mp4", [0], rotation=90 * turns)
    with open_video(tmp_path / "a.mp4") as video:
        (frame,) = video.frames()
    expected = np.rot90(picture(0), turns)  # counter-clockwise
    assert frame.image.shape == expected.shape
    assert np.abs(frame.image.astype(int) - expected).mean() < 3


@pytest.mark.parametrize("size", [(48, 64), (45, 63)])
def test_a_written_video_has_the_times_and_the_size_of_its_source(tmp_path, size):
    write(tmp_path / "a.mp4", TIMES)
    with (
        open_video(tmp_path / "a.mp4") as video,
        write_video(tmp_path / "b.mp4", video, comment='{"a": "ü"}') as writer,
    ):
        for frame in video.frames():
            writer.write(picture(frame.number % 4, size), frame.pts)
    np.testing.assert_allclose(seconds(tmp_path / "b.mp4"), np.array(TIMES) / 1000, atol=1e-4)
    with open_video(tmp_path / "b.mp4") as video:
        assert next(video.frames()).image.shape == (*size, 3)
        assert video.comment == '{"a": "ü"}'


def test_what_is_no_video_is_one_line(tmp_path):
    (tmp_path / "text.mp4").write_text("no video at all")
    with av.open(str(tmp_path / "sound.mp4"), "w") as container:
        stream = container.add_stream("aac", rate=44100)
        samples = av.AudioFrame.from_ndarray(np.zeros((2, 1024), np.float32), "fltp", "stereo")
        samples.sample_rate = 44100
        container.mux(stream.encode(samples))
        container.mux(stream.encode())
    for name, message in (
        ("gone.mp4", "no such file"),
        ("text.mp4", "not a readable video"),
        ("sound.mp4", "holds no video"),
    ):
        with pytest.raises(InputError, match=f"{name}: {message}"), open_video(tmp_path / name):
            pass


@pytest.mark.parametrize(("part", "message"), [(0.3, "without frames"), (0.5, "the file is cut")])
def test_a_cut_video_is_told(tmp_path, part, message):
    write(tmp_path / "a.mkv", range(0, 4000, 40))
    data = (tmp_path / "a.mkv").read_bytes()
    (tmp_path / "b.mkv").write_bytes(data[: int(part * len(data))])
    with open_video(tmp_path / "a.mkv") as video:
        assert len(list(video.frames())) == 100
    with (
        open_video(tmp_path / "b.mkv") as video,
        pytest.raises(InputError, match=rf"b\.mkv: .*{message}"),
    ):
        list(video.frames())


def test_labels_are_those_of_the_averaged_probabilities():
    parser = FindsRed()
    frames = [(Frame(i, i, image), image) for i, image in enumerate(map(picture, (0, 1, 1, 1)))]
    raw = [result.probabilities(0) for _, result in parser.stream(frames)]
    found = [result.labels for _, result in smoothed(parser.stream(frames), 0.6)]
    mean = raw[0]
    for labels, now in zip(found[1:], raw[1:], strict=True):
        mean = 0.6 * mean + 0.4 * now
        np.testing.assert_array_equal(labels, mean.argmax(-1))
    assert found[1][0, 0] == 1  # still where the block was
    assert found[1][0, BLOCK] == 0
    assert found[3][0, BLOCK] == 1
    plain = [result.labels for _, result in smoothed(parser.stream(frames), 0.0)]
    assert plain[1][0, 0] == 0
