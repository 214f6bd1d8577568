"""Frames of a video at some times, of files that can be searched and of others: the same as a whole decode gives."""

from contextlib import closing
from fractions import Fraction

import av
import numpy as np
import pytest
from PIL import Image

from amge.errors import VideoError
from amge.video.decode import from_file
from amge.video.read import duration, frames_at
from amge.video.write import write_video

FRAMES, FPS = 120, 10
REGULAR = "keyint=20:min-keyint=20:scenecut=0:bframes=3:b-adapt=0"
UNEVEN = [*range(0, 4000, 100), *range(4000, 12000, 500), *range(12000, 13000, 50)]


def coded(count=FRAMES):
    """Frame i has brightness 20 + 7 i, back to 20 after 200: no two of these are alike."""
    codes = (20 + 7 * np.arange(count) % 200).astype(np.uint8)
    return np.broadcast_to(codes[:, None, None, None], (count, 48, 64, 3))


def encode(path, codec, options=None, of_codec=None, times=None, b_frames=None):
    """A video with a key frame at least every 20 frames, at `times` (milliseconds) where given."""
    if codec not in av.codecs_available:
        pytest.skip(f"no {codec} encoder")
    with av.open(str(path), "w", options=options or {}) as container:
        stream = container.add_stream(codec, rate=FPS, options=of_codec or {})
        stream.height, stream.width, stream.pix_fmt = 48, 64, "yuv420p"
        stream.codec_context.gop_size = 20
        if b_frames is not None:
            stream.codec_context.max_b_frames = b_frames
        if times:
            stream.time_base = stream.codec_context.time_base = Fraction(1, 1000)
        for i, image in enumerate(coded(len(times) if times else FRAMES)):
            frame = av.VideoFrame.from_ndarray(np.ascontiguousarray(image), format="rgb24")
            if times:
                frame.pts, frame.time_base = times[i], Fraction(1, 1000)
            container.mux(stream.encode(frame))
        container.mux(stream.encode())
    return path


def between_key_frames(path, source):
    """The video `source` without its first packets, so that it starts with what can't be decoded."""
    with av.open(str(source)) as given, av.open(str(path), "w") as container:
        stream = container.add_stream_from_template(given.streams.video[0])
        for number, packet in enumerate(given.demux(given.streams.video[0])):
            if number > 8 and packet.dts is not None:
                packet.stream = stream
                container.mux(packet)
    return path


def whole(path):
    """Times since the first and brightness of all frames, by PyAV alone."""
    with av.open(str(path)) as container:
        shown = [(frame.time, frame.to_ndarray(format="rgb24").mean()) for frame in container.decode(video=0)]
    times, codes = np.array(shown).T
    return times - times[0], codes


MAKE = {
    "mp4": lambda at: encode(at / "a.mp4", "libx264"),
    "mp4 of B-frames": lambda at: encode(at / "a.mp4", "libx264", of_codec={"x264-params": REGULAR}),
    "mp4 of open groups": lambda at: encode(at / "a.mp4", "libx264", of_codec={"x264-params": f"open-gop=1:{REGULAR}"}),
    "hevc": lambda at: encode(
        at / "a.mp4", "libx265", of_codec={"x265-params": "keyint=20:min-keyint=20:log-level=none"}
    ),
    "mpeg-4, first frame late": lambda at: encode(at / "a.mp4", "mpeg4", b_frames=2),
    "fragments": lambda at: encode(at / "a.mp4", "libx264", {"movflags": "frag_keyframe+empty_moov"}),
    "mp4 from 7 s": lambda at: encode(at / "a.mp4", "libx264", times=list(range(7000, 19000, 100))),
    "mkv from 7 s": lambda at: encode(at / "a.mkv", "libx264", times=list(range(7000, 19000, 100))),
    "mkv of uneven times": lambda at: encode(at / "a.mkv", "libx264", times=UNEVEN),
    "mp4 of uneven times": lambda at: encode(at / "a.mp4", "libx264", times=UNEVEN),
    "webm": lambda at: encode(at / "a.webm", "libvpx-vp9", of_codec={"deadline": "realtime", "cpu-used": "8"}),
    "webm without an index": lambda at: encode(at / "a.webm", "libvpx", {"live": "1"}),
    "avi": lambda at: encode(at / "a.avi", "mpeg4"),
    "ts": lambda at: encode(at / "a.ts", "libx264"),
}
LENGTH = {"mkv of uneven times": 13.05, "mp4 of uneven times": 13.05}


@pytest.mark.parametrize("kind", MAKE)
def test_frames_are_those_of_a_whole_decode_wherever_it_begins(tmp_path, kind):
    path = MAKE[kind](tmp_path)
    times, codes = whole(path)
    assert duration(path) == pytest.approx(LENGTH.get(kind, 12), abs=0.08)
    wanted = np.arange(0, times[-1] + 1, 0.13)
    on_screen = codes[np.searchsorted(times, wanted + 1e-3, side="right") - 1]
    assert frames_at(path, wanted).mean(axis=(1, 2, 3)) == pytest.approx(on_screen, abs=0.5)
    alone = [frames_at(path, [time]).mean() for time in wanted[::4]]
    assert alone == pytest.approx(on_screen[::4], abs=0.5)


def test_times_count_from_the_first_frame_that_can_be_decoded(tmp_path):
    path = between_key_frames(tmp_path / "b.mkv", MAKE["mp4 of B-frames"](tmp_path))
    times, codes = whole(path)
    assert len(times) == 100
    wanted = np.arange(3.05, 9.9, 0.3)
    assert [frames_at(path, [t]).mean() for t in wanted] == pytest.approx(codes[(wanted * 10).astype(int)], abs=0.5)


@pytest.mark.parametrize("kind", ["mp4", "mp4 of open groups", "hevc", "mkv from 7 s", "webm"])
def test_only_what_is_needed_is_decoded(tmp_path, kind):
    path = MAKE[kind](tmp_path)
    with closing(from_file(path, path.read_bytes()[:12], 640, start=9.05)) as shown:
        first = next(shown).time
    assert 3 < first <= 9.05


def test_edges_of_time(tmp_path):
    write_video(tmp_path / "a.mp4", coded(30), 10)
    codes = frames_at(tmp_path / "a.mp4", [-1, 0, 0.0995, 0.15, 0.15, 2.9, 3, 1000]).mean(axis=(1, 2, 3))
    np.testing.assert_allclose(codes, 20 + 7 * np.array([0, 0, 1, 1, 1, 29, 29, 29]) % 200, atol=2)
    assert frames_at(tmp_path / "a.mp4", [1000, 1000])[:, 0, 0, 0] == pytest.approx([23, 23], abs=2)
    assert frames_at(tmp_path / "a.mp4", [1], max_side=32).shape == (1, 24, 32, 3)


def test_a_folder_of_images(tmp_path):
    for i in range(4):
        Image.new("RGB", (40, 30), (i * 20,) * 3).save(tmp_path / f"{i}.png")
    assert duration(tmp_path, fps=2) == 2
    assert frames_at(tmp_path, [0, 0.6, 1.6, 9], fps=2)[:, 0, 0, 0].tolist() == [0, 20, 60, 60]


@pytest.mark.parametrize("times", [[], [1, 0], [0, float("nan")], [float("inf")], [[0, 1]]])
def test_times_must_ascend(tmp_path, times):
    write_video(tmp_path / "a.mp4", coded(4), 10)
    with pytest.raises(VideoError, match="ascending times"):
        frames_at(tmp_path / "a.mp4", times)


@pytest.mark.parametrize("function", [duration, lambda path: frames_at(path, [5.0])])
def test_files_that_are_no_video(tmp_path, function):
    whole_file = MAKE["mp4"](tmp_path).read_bytes()
    (tmp_path / "cut.mp4").write_bytes(whole_file[: len(whole_file) // 2])
    (tmp_path / "text.mp4").write_text("not a video")
    (tmp_path / "empty.mp4").touch()
    (tmp_path / "folder").mkdir()
    for name in ("cut.mp4", "text.mp4", "empty.mp4", "gone.mp4", "folder"):
        with pytest.raises(VideoError, match=name):
            function(tmp_path / name)


def test_a_file_that_ends_early_does_not_pass_for_whole(tmp_path):
    path = encode(tmp_path / "a.mp4", "libx264", {"movflags": "faststart"})
    path.write_bytes(path.read_bytes()[: path.stat().st_size * 2 // 3])
    with pytest.raises(VideoError, match="truncated"):
        frames_at(path, [11.0])
