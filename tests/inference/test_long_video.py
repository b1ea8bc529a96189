"""A video of 10,000 frames through the whole of `parse_video`: the memory stays flat."""

import fractions
import os
import pathlib

import av
import numpy as np
import pytest

from hparse_jax.inference.parse_video import VideoOutputs, overlay_of, parse_video

FRAMES, SETTLED, STEP = 10_000, 1000, 500
SIZE = (120, 160)
# What may come on top after SETTLED frames. A frame that stayed would be 58 kB, of 9,000 0.5 GB.
GROWTH = 24 * 2**20
MEMORY = pathlib.Path("/proc/self/statm")


def draw_clip(path: pathlib.Path, frames: int) -> None:
    """A red and a blue block that move over a grey frame."""
    rate = 25
    with av.open(str(path), "w") as container:
        stream = container.add_stream("libx264", rate=rate, options={"preset": "ultrafast"})
        stream.height, stream.width = SIZE
        stream.pix_fmt = "yuv420p"
        for number in range(frames):
            image = np.full((*SIZE, 3), 60, np.uint8)
            left = number % 120
            image[30:60, left : left + 40] = 250, 40, 40
            image[60:90, 120 - left : 160 - left] = 40, 40, 250
            frame = av.VideoFrame.from_ndarray(image, format="rgb24")
            frame.pts, frame.time_base = number, fractions.Fraction(1, rate)
            container.mux(stream.encode(frame))
        container.mux(stream.encode())


def resident() -> int:
    """Bytes of this process in memory."""
    return int(MEMORY.read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")


@pytest.mark.slow
@pytest.mark.skipif(not MEMORY.exists(), reason="reads the memory in use from Linux's /proc")
def test_memory_is_flat_after_the_first_frames(tmp_path, parser, capsys):
    draw_clip(tmp_path / "clip.mp4", FRAMES)
    used = []

    def watched(result):
        used.append(resident() if len(used) % STEP == 0 else used[-1])
        return result

    results = tmp_path / "out" / "clip"
    wanted = VideoOutputs(smooth=0.5)
    assert parse_video(parser, tmp_path / "clip.mp4", results, wanted, watched) == FRAMES
    with capsys.disabled():
        print("\nMiB every", STEP, "frames:", *(value // 2**20 for value in used[::STEP]))
    assert max(used[SETTLED:]) - used[SETTLED] < GROWTH
    with av.open(str(overlay_of(results))) as container:
        assert container.streams.video[0].frames == FRAMES
