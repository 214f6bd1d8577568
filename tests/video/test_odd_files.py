"""Videos as cameras, screen recorders and editors really write them."""

import warnings
from fractions import Fraction

import av
import numpy as np
import pytest
from PIL import Image

from amge.errors import VideoError
from amge.video.hdr import LIGHT
from amge.video.picture import read_animation, read_picture
from amge.video.read import duration, frames_at
from amge.video.windows import windows

MILLI = Fraction(1, 1000)
STEADY = tuple(range(0, 6000, 100))
"""Milliseconds of 60 frames; frame `i` has brightness `4 i`."""
PAUSED = (*range(0, 3000, 100), *range(93000, 96000, 100))
CODECS = {"webm": "libvpx", "wmv": "wmv2", "mpg": "mpeg2video", "avi": "mpeg4", "3gp": "mpeg4"}
CONTAINERS = ("mp4", "mov", "mkv", "webm", "ts", "flv", "avi", "mpg", "wmv", "3gp")


def picture(stream, grey, at):
    frame = av.VideoFrame.from_ndarray(np.full((stream.height, stream.width, 3), grey, np.uint8), format="rgb24")
    frame.pts, frame.time_base = at, MILLI
    return frame


def add_picture(container, codec, size=(64, 48), rate=10, gop=15, **options):
    stream = container.add_stream(codec, rate=rate, options=options)
    stream.width, stream.height = size
    stream.pix_fmt, stream.codec_context.gop_size = "yuv420p", gop
    if codec not in ("mpeg2video", "mpeg4"):
        stream.time_base = stream.codec_context.time_base = MILLI
    return stream


def record(path, stamps=STEADY, sound=0, options=None, **of_stream):
    """A video with a frame at each of some milliseconds, perhaps with seconds of sound."""
    codec = CODECS.get(path.suffix[1:], "libx264")
    if path.suffix == ".mpg":
        of_stream["rate"], stamps = 25, range(0, 6000, 40)
    with av.open(str(path), "w", options=options or {}) as container:
        stream = add_picture(container, codec, **of_stream)
        packets = []
        if sound:
            voice = container.add_stream({".webm": "libopus", ".mpg": "mp2"}.get(path.suffix, "aac"), rate=48000)
            for at in range(0, sound * 48000, 1024):
                silence = av.AudioFrame.from_ndarray(np.zeros((1, 2048), np.int16), "s16", "stereo")
                silence.sample_rate, silence.pts = 48000, at
                packets += voice.encode(silence)
            packets += voice.encode()
        for i, at in enumerate(stamps):
            packets += stream.encode(picture(stream, int(240 * i / len(stamps)), at))
        packets += stream.encode()
        for packet in sorted(packets, key=lambda packet: packet.dts * packet.time_base):
            container.mux(packet)
    return path


def remuxed(path, source, shift=0, options=None):
    """The packets of a video in another file, their stamps shifted by some milliseconds."""
    with av.open(str(source)) as given, av.open(str(path), "w", options=options or {}) as container:
        stream = container.add_stream_from_template(given.streams.video[0])
        for packet in given.demux(given.streams.video[0]):
            if packet.dts is not None:
                moved = round(shift * MILLI / packet.time_base)
                packet.pts, packet.dts, packet.stream = packet.pts + moved, packet.dts + moved, stream
                container.mux(packet)
    return path


def ends(path):
    """The length of a video, and the end of the last of its windows."""
    return duration(path), list(windows(path, 6))[-1].end


@pytest.mark.parametrize("sound", [0, 20], ids=["silent", "longer sound"])
@pytest.mark.parametrize("kind", CONTAINERS)
def test_the_length_is_that_of_the_picture(tmp_path, kind, sound):
    if CODECS.get(kind, "libx264") not in av.codecs_available:
        pytest.skip(f"no encoder for {kind}")
    length, end = ends(record(tmp_path / f"a.{kind}", sound=sound))
    assert length == pytest.approx(end, abs=1e-6)
    assert length == pytest.approx(6, abs=0.11)


def test_the_length_of_recordings_joined_end_to_end(tmp_path):
    one = record(tmp_path / "a.ts", range(0, 4000, 100))
    later = remuxed(tmp_path / "later.ts", one, 300_000)
    for other in (one, later):
        joined = tmp_path / "joined.ts"
        joined.write_bytes(one.read_bytes() + other.read_bytes())
        length, end = ends(joined)
        assert length == pytest.approx(end, abs=1e-6)
        assert length == pytest.approx(8, abs=0.2)


def test_the_length_where_stamps_start_below_zero(tmp_path):
    source = record(tmp_path / "a.mp4", bf="0")
    path = remuxed(tmp_path / "b.mkv", source, -3000, {"avoid_negative_ts": "disabled"})
    with av.open(str(path)) as container:
        assert container.duration == 3_000_000
    assert ends(path) == pytest.approx((6, 6), abs=1e-6)
    assert frames_at(path, [1.05, 5.05]).mean(axis=(1, 2, 3)) == pytest.approx([40, 200], abs=5)


@pytest.mark.parametrize("kind", ["mp4", "mov", "mkv", "webm", "flv"])
def test_a_pause_without_new_frames(tmp_path, kind):
    path = record(tmp_path / f"a.{kind}", PAUSED)
    length, end = ends(path)
    assert length == pytest.approx(end, abs=1e-6)
    assert length == pytest.approx(96, abs=0.11)
    shown = frames_at(path, [2.5, 2.95, 50, 92, 95.95]).mean(axis=(1, 2, 3))
    assert shown == pytest.approx([100, 116, 116, 116, 236], abs=5)
    alone = [frames_at(path, [time]).mean() for time in (2.5, 2.95, 50, 92, 95.95)]
    assert alone == pytest.approx(shown, abs=1e-6)


@pytest.mark.parametrize("kind", ["mkv", "webm", "mp4", "ts", "flv"])
@pytest.mark.parametrize("late", [1000, 15_000])
def test_a_picture_that_starts_after_the_sound(tmp_path, kind, late):
    path = record(tmp_path / f"a.{kind}", [at + late for at in STEADY], sound=30)
    length, end = ends(path)
    assert length == pytest.approx(end, abs=1e-6)
    assert length == pytest.approx(6, abs=0.11)
    assert frames_at(path, [0, 3.05]).mean(axis=(1, 2, 3)) == pytest.approx([0, 120], abs=5)


@pytest.mark.parametrize("kind", ["mp4", "mov", "mkv"])
@pytest.mark.parametrize("preview", [1, 3])
@pytest.mark.parametrize("first", [True, False])
def test_the_main_stream_is_taken(tmp_path, kind, preview, first):
    path = tmp_path / f"a.{kind}"
    with av.open(str(path), "w") as container:
        sizes = {"small": (48, 32), "large": (160, 120)}
        order = ("small", "large") if first else ("large", "small")
        streams = {name: add_picture(container, "mpeg4", sizes[name]) for name in order}
        for i in range(40):
            container.mux(streams["large"].encode(picture(streams["large"], 100, 100 * i)))
            if i < preview:
                container.mux(streams["small"].encode(picture(streams["small"], 250, 100 * i)))
        for stream in streams.values():
            container.mux(stream.encode())
    (window,) = windows(path, 4)
    assert window.frames.shape == (4, 120, 160, 3)
    assert window.end == pytest.approx(4, abs=0.11)


@pytest.mark.parametrize("codec", ["libvpx", "libvpx-vp9"])
def test_transparent_webm_is_shown_on_white(tmp_path, codec):
    rgba = np.zeros((64, 64, 4), np.uint8)
    rgba[16:48, 16:48] = 200, 30, 30, 255
    with av.open(str(tmp_path / "a.webm"), "w") as container:
        stream = container.add_stream(codec, rate=10, options={"auto-alt-ref": "0"})
        stream.width, stream.height, stream.pix_fmt = 64, 64, "yuva420p"
        for _ in range(40):
            container.mux(stream.encode(av.VideoFrame.from_ndarray(rgba, format="rgba")))
        container.mux(stream.encode())
    for shown in (next(windows(tmp_path / "a.webm", 2)).frames[0], frames_at(tmp_path / "a.webm", [3.5])[0]):
        assert shown[2, 2].tolist() == [255, 255, 255]
        assert shown[32, 32] == pytest.approx([200, 30, 30], abs=6)


def test_animated_webp(tmp_path):
    pictures = [Image.new("RGBA", (40, 30), (60 * i, 0, 0, 255 if i else 0)) for i in range(4)]
    pictures[0].save(tmp_path / "a.webp", save_all=True, append_images=pictures[1:], duration=500, lossless=True)
    (window,) = windows(tmp_path / "a.webp", 4)
    assert window.frames[:, 15, 20].tolist() == [[255, 255, 255], [60, 0, 0], [120, 0, 0], [180, 0, 0]]
    assert (window.end, duration(tmp_path / "a.webp")) == (2, 2)
    assert frames_at(tmp_path / "a.webp", [1.2])[0, 15, 20].tolist() == [120, 0, 0]


def pq(light):
    power = (np.clip(light, 0, None) / 10000) ** (1305 / 8192)
    return ((0.8359375 + 18.8515625 * power) / (1 + 18.6875 * power)) ** (2523 / 32)


def hlg(light):
    luminance = (light @ [0.2627, 0.678, 0.0593])[..., None] / 1000
    scene = light / 1000 / np.maximum(luminance, 1e-9) ** (1 / 6)
    logarithmic = 0.17883277 * np.log(np.maximum(12 * scene - 0.28466892, 1e-9)) + 0.55991073
    return np.where(scene <= 1 / 12, np.sqrt(3 * np.clip(scene, 0, None)), logarithmic)


@pytest.mark.parametrize("number, signal", [(16, pq), (18, hlg)], ids=["PQ", "HLG"])
def test_high_dynamic_range_is_tone_mapped(tmp_path, number, signal):
    colours = np.array([[255, 255, 255], [128, 128, 128], [200, 40, 30], [30, 180, 60], [40, 60, 200], [10, 10, 10]])
    to_bt2020 = np.array([[0.6274, 0.3293, 0.0433], [0.0691, 0.9195, 0.0114], [0.0164, 0.0880, 0.8956]])
    light = 203 * (colours / 255) ** 2.4 @ to_bt2020.T
    assert LIGHT[number](signal(light)) == pytest.approx(light, rel=1e-3, abs=0.01)
    row = np.repeat(np.rint(65535 * signal(light)).astype(np.uint16), 16, axis=0)
    recorded = av.VideoFrame.from_ndarray(np.ascontiguousarray(np.broadcast_to(row, (64, 96, 3))), format="rgb48le")
    with av.open(str(tmp_path / "a.mkv"), "w") as container:
        stream = container.add_stream("libx264", rate=10, options={"crf": "0"})
        stream.width, stream.height, stream.pix_fmt = 96, 64, "yuv420p10le"
        stream.codec_context.color_trc, stream.codec_context.color_primaries = number, 9
        stream.codec_context.colorspace, stream.codec_context.color_range = 9, 1
        for _ in range(4):
            container.mux(stream.encode(recorded.reformat(format="yuv420p10le", dst_colorspace=9, dst_color_range=1)))
        container.mux(stream.encode())
    shown = next(windows(tmp_path / "a.mkv", 2)).frames[0, 32, 8::16].astype(int)
    assert shown[1:] == pytest.approx(colours[1:], abs=6)
    assert shown[0].min() > 240, "white, whatever is brighter"


@pytest.mark.parametrize("matrix", [1, 5, 9], ids=["BT.709", "BT.601", "BT.2020"])
@pytest.mark.parametrize("full", [False, True])
def test_colours_by_the_matrix_that_a_video_states(tmp_path, matrix, full):
    colours = np.array([[200, 40, 30], [30, 180, 60], [40, 60, 200], [128, 128, 128]], np.uint8)
    row = np.ascontiguousarray(np.broadcast_to(np.repeat(colours, 16, axis=0), (64, 64, 3)))
    given = av.VideoFrame.from_ndarray(row, format="rgb24")
    limits = {"dst_colorspace": matrix, "dst_color_range": 2 if full else 1, "src_color_range": 2}
    with av.open(str(tmp_path / "a.mkv"), "w") as container:
        stream = container.add_stream("libx264", rate=10, options={"crf": "0"})
        stream.width, stream.height, stream.pix_fmt = 64, 64, "yuv444p"
        stream.codec_context.colorspace, stream.codec_context.color_range = matrix, limits["dst_color_range"]
        for _ in range(4):
            container.mux(stream.encode(given.reformat(format="yuv444p", **limits)))
        container.mux(stream.encode())
    shown = next(windows(tmp_path / "a.mkv", 2)).frames[0, 32, 8::16].astype(int)
    assert shown == pytest.approx(colours.astype(int), abs=4)


def test_a_file_that_is_cut_off_has_no_length(tmp_path):
    path = record(tmp_path / "a.mp4", range(0, 60_000, 100), options={"movflags": "faststart"})
    path.write_bytes(path.read_bytes()[: path.stat().st_size * 8 // 10])
    with pytest.raises(VideoError, match="truncated"):
        duration(path)


def test_times_far_beyond_the_end(tmp_path):
    path = record(tmp_path / "a.mp4")
    assert frames_at(path, [1e18]).mean() == pytest.approx(frames_at(path, [5.95]).mean(), abs=0.5)


def test_an_animation_leaves_warnings_as_they_are(tmp_path):
    pictures = [Image.new("RGB", (40, 30), (60 * i, 0, 0)) for i in range(3)]
    pictures[0].save(tmp_path / "a.webp", save_all=True, append_images=pictures[1:], duration=500)
    before = list(warnings.filters)
    shown = read_animation(tmp_path / "a.webp")
    next(shown)
    assert warnings.filters == before
    shown.close()
    grey = Image.fromarray(np.full((30, 40), 30_000, np.uint16))
    tags = Image.Exif()
    tags[0x0112] = 6
    grey.save(tmp_path / "a.png", exif=tags)
    assert read_picture(tmp_path / "a.png").shape == (40, 30, 3)
