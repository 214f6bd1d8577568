import gc
import os
import stat
import subprocess
import sys
import tracemalloc
import warnings
from fractions import Fraction
from itertools import islice
from pathlib import Path

import av
import numpy as np
import pytest
import torch
from PIL import Image

from amge.errors import VideoError
from amge.video.decode import _oriented
from amge.video.windows import windows
from amge.video.write import write_video


def grey(count, height=48, width=64):
    """A movement (T, H, W, 3): frame i has brightness 4 i."""
    return np.broadcast_to(
        (4 * np.arange(count) % 256).astype(np.uint8)[:, None, None, None], (count, height, width, 3)
    )


def encode(path, frames, codec="mpeg4", pix_fmt="yuv420p", fps=30, times=None, setup=None, options=None, raw="rgb24"):
    """Writes `frames` with PyAV, at `times` (milliseconds) where given."""
    if codec not in av.codecs_available:
        pytest.skip(f"no {codec} encoder")
    with av.open(str(path), "w", options=options or {}) as container:
        stream = container.add_stream(codec, rate=fps)
        stream.height, stream.width, stream.pix_fmt = frames.shape[1], frames.shape[2], pix_fmt
        if times:
            stream.time_base = stream.codec_context.time_base = Fraction(1, 1000)
        if setup:
            setup(stream)
        for i, image in enumerate(frames):
            frame = av.VideoFrame.from_ndarray(np.ascontiguousarray(image), format=raw)
            if times:
                frame.pts, frame.time_base = times[i], Fraction(1, 1000)
            container.mux(stream.encode(frame))
        container.mux(stream.encode())
    return path


def brightness(window):
    return window.frames.mean(axis=(1, 2, 3))


def refused(source, *parts, **options):
    with pytest.raises(VideoError) as caught:
        list(windows(source, options.pop("num_frames", 4), **options))
    message = str(caught.value)
    assert "\n" not in message
    for part in parts:
        assert part in message
    return message


@pytest.mark.parametrize(
    "name, codec, pix_fmt",
    [
        ("a.mp4", "libx264", "yuv420p"),
        ("a.mp4", "mpeg4", "yuv420p"),
        ("a.mov", "mpeg4", "yuv420p"),
        ("a.avi", "mpeg4", "yuv420p"),
        ("a.avi", "mjpeg", "yuvj420p"),
        ("a.mkv", "libx264", "yuv420p10le"),
        ("a.mkv", "ffv1", "gray"),
        ("a.webm", "libvpx", "yuv420p"),
        ("a.webm", "libvpx-vp9", "yuv420p"),
        ("a.ts", "libx264", "yuv420p"),
        ("a.h264", "libx264", "yuv420p"),
        ("a.gif", "gif", "rgb8"),
    ],
)
def test_every_container(tmp_path, capfd, name, codec, pix_fmt):
    fps = 25 if name in ("a.gif", "a.h264") else 30
    path = encode(tmp_path / name, grey(40), codec, pix_fmt, fps)
    (window,) = windows(path, 8)
    assert window.frames.shape == (8, 48, 64, 3)
    assert window.frames.dtype == np.uint8
    assert window.start == 0
    assert window.end == pytest.approx(40 / fps, abs=0.05)
    assert window.times == pytest.approx((np.arange(8) * 5 + 2) / fps, abs=0.02)
    assert brightness(window) == pytest.approx(4 * (np.arange(8) * 5 + 2), abs=20 if "gif" in name else 4)
    assert capfd.readouterr().err == ""


@pytest.mark.parametrize("convert", [np.asarray, lambda a: torch.from_numpy(a.copy())])
def test_arrays_and_tensors(convert):
    (window,) = windows(convert(grey(60)), 60)
    assert (window.frames == grey(60)).all()
    assert window.end == 2.0
    (window,) = windows(convert(grey(3)), 6, fps=3)
    assert brightness(window).tolist() == [0, 0, 4, 4, 8, 8]
    assert window.times == pytest.approx([0, 0, 1 / 3, 1 / 3, 2 / 3, 2 / 3])
    (window,) = windows(convert(grey(4, 90, 120)), 4, max_side=60)
    assert window.frames.shape == (4, 45, 60, 3)


def test_long_sources_give_overlapping_windows():
    (whole,) = windows(grey(150), 5, fps=10)
    assert (whole.start, whole.end) == (0, 15)
    cut = list(windows(grey(232), 5, fps=10))
    assert [(w.start, w.end) for w in cut] == [(0, 10), (5, 15), (10, 20), (pytest.approx(13.2), pytest.approx(23.2))]
    for window in cut:
        middles = window.start + np.arange(5) * 2 + 1
        assert np.abs(np.array(window.times) - middles).max() <= 10 / (4 * 5) + 1e-6
        assert (np.diff(window.times) > 0).all()
    assert [(w.start, w.end) for w in windows(grey(200), 5, fps=10)] == [(0, 10), (5, 15), (10, 20)]


def test_frames_are_chosen_by_time(tmp_path):
    times = [*range(0, 1000, 20), 1500, 2000, 2500, 3000, 3500]
    path = encode(tmp_path / "vfr.mkv", grey(55), "ffv1", "gray", times=times)
    (window,) = windows(path, 8, seconds=4)
    middles = (np.arange(8) + 0.5) * window.end / 8
    assert window.end == pytest.approx(3.6, abs=0.5)
    for chosen, middle in zip(window.times, middles, strict=True):
        on_screen = max(t / 1000 for t in times if t / 1000 <= middle + 1e-3)
        assert chosen == pytest.approx(on_screen, abs=4 / 32)


def test_times_start_at_the_first_frame(tmp_path):
    path = encode(tmp_path / "late.mkv", grey(20), "ffv1", "gray", times=list(range(7000, 9000, 100)))
    (window,) = windows(path, 4)
    assert window.start == 0
    assert window.end == pytest.approx(2, abs=0.1)
    assert brightness(window) == pytest.approx([8, 28, 48, 68], abs=4)


def test_unknown_duration(tmp_path):
    path = encode(tmp_path / "live.webm", grey(40, 16, 16), "libvpx", options={"live": "1"}, fps=2)
    calls = []
    cut = list(windows(path, 4, progress=lambda done, total: calls.append((done, total))))
    assert [(w.start, w.end) for w in cut] == [(0, 10), (5, 15), (10, pytest.approx(20, abs=0.01))]
    assert calls[0] == (0, None)
    assert calls[-1] == (pytest.approx(20), pytest.approx(20))


def test_progress_of_a_file(tmp_path):
    write_video(tmp_path / "a.mp4", grey(60), 30)
    calls = []
    list(windows(tmp_path / "a.mp4", 4, progress=lambda done, total: calls.append((done, total))))
    assert [done for done, _ in calls] == sorted(done for done, _ in calls)
    assert {total for _, total in calls} == {2.0}


def rotate(path, *numbers):
    """Patches the display matrix of the only track of the MP4 file `path`."""
    data = bytearray(path.read_bytes())
    matrix = data.index(b"tkhd") + 4 + 40
    assert data[matrix : matrix + 4] == b"\0\1\0\0"
    data[matrix : matrix + 20] = np.array(numbers, dtype=">i4").tobytes()
    path.write_bytes(data)


ONE = 1 << 16


@pytest.mark.parametrize(
    "matrix, expected",
    [
        ((0, ONE, 0, -ONE, 0), lambda a: np.rot90(a, -1)),
        ((0, -ONE, 0, ONE, 0), lambda a: np.rot90(a, 1)),
        ((-ONE, 0, 0, 0, -ONE), lambda a: np.rot90(a, 2)),
        ((-ONE, 0, 0, 0, ONE), lambda a: a[:, ::-1]),
        ((ONE, 0, 0, 0, -ONE), lambda a: a[::-1]),
        ((0, ONE, 0, ONE, 0), lambda a: a.swapaxes(0, 1)),
    ],
)
def test_rotation(tmp_path, matrix, expected):
    picture = np.full((48, 64, 3), 20, np.uint8)
    picture[:16, :32] = 220
    write_video(tmp_path / "phone.mp4", np.stack([picture] * 4), 30)
    rotate(tmp_path / "phone.mp4", *matrix)
    (window,) = windows(tmp_path / "phone.mp4", 2)
    assert window.frames.shape[1:] == expected(picture).shape
    assert np.abs(window.frames[0].astype(int) - expected(picture)).mean() < 4
    full = np.array([*matrix[:2], 0, *matrix[3:], 0, 0, 0, 1 << 30], dtype=np.int32)
    assert (_oriented(picture, full) == expected(picture)).all()


def test_sample_aspect_ratio(tmp_path):
    def wide(stream):
        stream.codec_context.sample_aspect_ratio = Fraction(3, 2)

    path = encode(tmp_path / "wide.mp4", grey(4), setup=wide)
    (window,) = windows(path, 2)
    assert window.frames.shape == (2, 48, 96, 3)


def test_odd_sizes_and_scaling(tmp_path):
    path = encode(tmp_path / "odd.avi", grey(4, 33, 71), "rawvideo", "bgr24")
    assert next(windows(path, 2)).frames.shape == (2, 33, 71, 3)
    assert next(windows(path, 2, max_side=35)).frames.shape == (2, 16, 35, 3)
    write_video(tmp_path / "odd.mp4", grey(4, 33, 71), 30)
    assert next(windows(tmp_path / "odd.mp4", 2)).frames.shape == (2, 34, 72, 3)


def test_size_changes_midway(tmp_path):
    path = encode(tmp_path / "a.h264", grey(6), "libx264")
    path.write_bytes(path.read_bytes() + encode(tmp_path / "b.h264", grey(6, 96, 96), "libx264").read_bytes())
    (window,) = windows(path, 12)
    assert window.frames.shape == (12, 48, 64, 3)


def test_transparent_video_is_shown_on_white(tmp_path):
    rgba = np.full((3, 32, 32, 4), 100, np.uint8)
    rgba[:, :, :16, 3], rgba[:, :, 16:, 3] = 0, 255
    path = encode(tmp_path / "alpha.mov", rgba[..., [3, 0, 1, 2]], "qtrle", "argb", raw="argb")
    (window,) = windows(path, 2)
    assert (window.frames[:, :, :16] == 255).all()
    assert (window.frames[:, :, 16:] == 100).all()


def test_image_folders(tmp_path):
    for i in (1, 2, 10):
        Image.new("RGB", (40, 30), (i * 20,) * 3).save(tmp_path / f"Frame{i}.png")
    (tmp_path / "notes.txt").write_text("not an image")
    (tmp_path / "._Frame1.png").write_bytes(b"macOS")
    (window,) = windows(str(tmp_path), 3, fps=1)
    assert window.end == 3
    assert brightness(window).tolist() == [20, 40, 200]


@pytest.mark.parametrize("kind", ["alpha", "grey", "grey16", "palette", "exif"])
def test_image_modes(tmp_path, kind):
    image, options, expected = Image.new("L", (40, 30), 100), {}, 100
    if kind == "alpha":
        image, expected = Image.new("RGBA", (40, 30), (0, 0, 0, 51)), 204
    elif kind == "grey16":
        image = Image.fromarray(np.full((30, 40), 100 << 8, np.uint16))
    elif kind == "palette":
        image = Image.new("RGB", (40, 30), (100, 100, 100)).convert("P", palette=Image.Palette.ADAPTIVE)
    elif kind == "exif":
        options["exif"] = Image.Exif()
        options["exif"][0x0112] = 6
    for i in range(2):
        image.save(tmp_path / f"{i}.png", **options)
    (window,) = windows(tmp_path, 2)
    assert window.frames.shape == ((2, 40, 30, 3) if kind == "exif" else (2, 30, 40, 3))
    assert np.abs(window.frames.astype(int) - expected).max() <= 1


def test_bad_arrays():
    frames = grey(5, 20, 20)
    refused(frames.transpose(3, 0, 1, 2), "(3, 5, 20, 20)", "ndarray", "(T, H, W, 3)", ".transpose(1, 2, 3, 0)")
    refused(torch.zeros(5, 3, 20, 20), "Tensor", "float32", "uint8 0..255", ".permute(0, 2, 3, 1)")
    refused(torch.zeros(5, 20, 20, 3, dtype=torch.bfloat16), "bfloat16", "uint8")
    refused(frames.astype(np.int64), "int64", "convert to uint8")
    refused(frames[None], "(1, 5, 20, 20, 3)", "one clip of the batch")
    refused(frames[0], "(20, 20, 3)", "stack")
    refused(frames[..., 0], "(5, 20, 20)", "stack")
    refused(frames[:1], "1 frame:", "at least 2 frames")
    refused(frames[:0], "0 frames")
    refused(frames[:, :1, :1], "1x1", "16 pixels")
    refused(np.broadcast_to(np.uint8(0), (2, 4320, 7680, 3)), "7680x4320", "16777216", "scale=1280:-2")
    refused([frames[0]], "list", "path")
    refused(None, "NoneType")


@pytest.mark.parametrize(
    "arguments", [{"num_frames": 0}, {"seconds": 0}, {"max_side": 1}, {"fps": 0}, {"seconds": np.nan}]
)
def test_bad_arguments(arguments):
    refused(grey(5), next(iter(arguments)), **arguments)


def test_missing_empty_and_special_files(tmp_path):
    refused(tmp_path / "gone.mp4", "gone.mp4", "no such file")
    refused("https://example.org/a.mp4", "download")
    refused("a\0b.mp4", "path")
    refused(tmp_path / ("x" * 400), "cannot be read")
    refused(tmp_path / "a\nb.mp4", "a b.mp4")
    (tmp_path / "empty.mp4").touch()
    refused(tmp_path / "empty.mp4", "empty.mp4", "0 bytes")
    refused("/dev/null", "/dev/null", "regular file")
    if hasattr(os, "mkfifo"):
        os.mkfifo(tmp_path / "pipe.mp4")
        refused(tmp_path / "pipe.mp4", "pipe.mp4", "regular file")


def test_unreadable_files(tmp_path, monkeypatch):
    path = tmp_path / "secret.mp4"
    write_video(path, grey(4), 30)
    path.chmod(0)
    if os.access(path, os.R_OK):  # root may read everything

        def denied(*_):
            raise PermissionError(13, "Permission denied")

        monkeypatch.setattr(Path, "open", denied)
    refused(path, "secret.mp4", "Permission denied", "permissions")
    path.chmod(stat.S_IRUSR | stat.S_IWUSR)


def test_files_that_are_no_video(tmp_path):
    for name in ("text.mp4", "text.txt"):
        (tmp_path / name).write_text("this is not a video\n" * 100)
        refused(tmp_path / name, name)
    (tmp_path / "list.mp4").write_text("#EXTM3U\n#EXTINF:2,\nhttp://127.0.0.1:9/a.ts\n#EXT-X-ENDLIST\n")
    refused(tmp_path / "list.mp4", "list.mp4", "not a video")
    with av.open(str(tmp_path / "song.m4a"), "w") as container:
        stream = container.add_stream("aac", rate=44100)
        sound = av.AudioFrame.from_ndarray(np.zeros((1, 44100), np.float32), format="fltp", layout="mono")
        sound.rate, sound.pts = 44100, 0
        container.mux(stream.encode(sound))
        container.mux(stream.encode())
    refused(tmp_path / "song.m4a", "song.m4a", "no video", "audio")
    Image.new("RGB", (32, 32)).save(tmp_path / "photo.png")
    refused(tmp_path / "photo.png", "photo.png", "at least 2 frames")


def test_videos_that_cannot_be_used(tmp_path):
    write_video(tmp_path / "one.mp4", grey(1), 30)
    refused(tmp_path / "one.mp4", "one.mp4 has 1 frame:", "at least 2 frames")
    refused(encode(tmp_path / "dot.avi", grey(4, 1, 1), "rawvideo", "bgr24"), "1x1", "16 pixels")


def test_8k_is_refused_before_decoding(tmp_path, monkeypatch):
    path = encode(tmp_path / "8k.mp4", grey(2, 4112, 4112), "mpeg4")
    monkeypatch.setattr("amge.video.decode._picture", None)
    refused(path, "8k.mp4", "4112x4112", "16777216", "ffmpeg -i in.mp4 -vf scale=1280:-2 out.mp4")
    folder = tmp_path / "images"
    folder.mkdir()
    Image.new("1", (8192, 4320)).save(folder / "0.png")
    refused(folder, "0.png", "8192x4320")
    Image.new("1", (12000, 8000)).save(folder / "0.png")
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        refused(folder, "0.png", "exceeds", "Scale")


@pytest.mark.parametrize(
    "name, codec", [("a.mp4", "libx264"), ("a.avi", "mpeg4"), ("a.mkv", "ffv1"), ("a.webm", "libvpx")]
)
def test_truncated_files(tmp_path, capfd, name, codec):
    noise = np.random.default_rng(0).integers(0, 255, (60, 48, 64, 3), dtype=np.uint8)
    options = {"movflags": "faststart"} if name == "a.mp4" else None
    path = encode(tmp_path / name, noise, codec, options=options)
    whole = path.read_bytes()
    path.write_bytes(whole[: len(whole) * 6 // 10])
    assert "frames" in refused(path, name, "truncated", "copy or record")
    if name == "a.mp4":
        write_video(path, noise, 30)
        path.write_bytes(path.read_bytes()[:-2000])
        refused(path, name, "truncated", "moov")
    assert capfd.readouterr().err == ""


def test_truncated_between_packets(tmp_path):
    path = encode(tmp_path / "a.mp4", grey(60), options={"movflags": "faststart"})
    with av.open(str(path)) as container:
        cut = next(p.pos for i, p in enumerate(container.demux(video=0)) if i == 30)
    path.write_bytes(path.read_bytes()[:cut])
    refused(path, "a.mp4", "truncated", "30 frames")


def test_damaged_midway(tmp_path):
    random = np.random.default_rng(0)
    path = encode(tmp_path / "a.mp4", random.integers(0, 255, (30, 48, 64, 3), np.uint8), "libx264")
    data = bytearray(path.read_bytes())
    middle = len(data) // 2
    data[middle : middle + 9000] = random.bytes(9000)
    path.write_bytes(data)
    refused(path, "a.mp4", "damaged after", "frames")


def test_bad_folders(tmp_path):
    refused(tmp_path, str(tmp_path), "without images")
    Image.new("RGB", (32, 32)).save(tmp_path / "0.png")
    refused(tmp_path, "at least 2 frames")
    Image.new("RGB", (32, 24)).save(tmp_path / "1.png")
    refused(tmp_path, "1.png is 32x24", "0.png is 32x32", "same size")
    noise = Image.fromarray(np.random.default_rng(0).integers(0, 255, (32, 32, 3), dtype=np.uint8))
    noise.save(tmp_path / "1.png")
    (tmp_path / "1.png").write_bytes((tmp_path / "1.png").read_bytes()[:900])
    refused(tmp_path, "1.png", "not a readable image")
    (tmp_path / "1.png").write_text("text")
    refused(tmp_path, "1.png", "not a readable image")


def test_memory_does_not_grow_with_length():
    frame = np.zeros((1, 64, 64, 3), np.uint8)
    peaks = []
    for count in (500, 5000):
        clip = np.broadcast_to(frame, (count, 64, 64, 3))
        tracemalloc.start()
        for _ in windows(clip, 4, seconds=2, max_side=32):
            pass
        peaks.append(tracemalloc.get_traced_memory()[1])
        tracemalloc.stop()
    assert peaks[1] < 1.3 * peaks[0]
    assert peaks[1] < 60 * 32 * 32 * 3


def test_spread_takes_the_frames_that_differ_most():
    """Ten seconds of rest, then two of movement: even frames miss most of it, these do not."""
    rest, moving = np.zeros((300, 48, 64, 3), np.uint8), grey(60)
    video = np.concatenate([rest, moving])
    (clip,) = windows(video, 12, spread=True)
    assert (brightness(clip) > 0).sum() >= 10 and brightness(clip).max() >= 230
    assert list(clip.times) == sorted(set(clip.times)) and (clip.start, clip.end) == (0, 12)
    (even,) = windows(video, 12)
    assert (brightness(even) > 0).sum() == 2


def test_spread_keeps_to_its_window_and_repeats_few_frames():
    clips = list(windows(grey(120), 4, seconds=1.0, spread=True))
    assert [(clip.start, clip.end) for clip in clips] == [(s / 2, s / 2 + 1) for s in range(7)]
    assert all(clip.start - 1 / 30 <= min(clip.times) and max(clip.times) < clip.end for clip in clips)
    (clip,) = windows(grey(3), 6, spread=True)
    assert clip.times == (0, 0, 1 / 30, 1 / 30, 2 / 30, 2 / 30)
    (fast,) = windows(grey(120), 120, fps=120, spread=True)  # no more than thirty a second are held
    assert len(set(fast.times)) <= 31


def test_memory_does_not_grow_with_length_where_all_frames_are_held():
    def peak(count):
        video = np.broadcast_to(np.arange(count, dtype=np.uint8)[:, None, None, None], (count, 64, 64, 3))
        tracemalloc.start()
        for _ in windows(video, 4, seconds=1.0, max_side=32, spread=True):
            pass
        _, most = tracemalloc.get_traced_memory()
        tracemalloc.stop()
        return most

    assert peak(1200) < 1.5 * peak(200)


def test_long_files_are_streamed(tmp_path):
    path = encode(tmp_path / "long.avi", np.broadcast_to(np.uint8(9), (4000, 32, 32, 3)), "mjpeg", "yuvj420p")
    tracemalloc.start()
    assert sum(1 for _ in windows(path, 4, seconds=2)) == 133
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 200 * 32 * 32 * 3


def test_early_close_releases_the_file(tmp_path):
    path = tmp_path / "a.mp4"
    write_video(path, grey(300), 30)

    def is_open():
        return any(os.path.realpath(f"/proc/self/fd/{fd}") == str(path) for fd in os.listdir("/proc/self/fd"))

    with warnings.catch_warnings():
        warnings.simplefilter("error")
        stream = windows(path, 4, seconds=2)
        assert len(list(islice(stream, 2))) == 2
        if sys.platform == "linux":
            assert is_open()
        stream.close()
        if sys.platform == "linux":
            assert not is_open()
        del stream
        gc.collect()


def test_nothing_is_written_to_stderr(tmp_path):
    path = tmp_path / "cut.mp4"
    encode(path, grey(30), options={"movflags": "faststart"})
    path.write_bytes(path.read_bytes()[:-500])
    code = f"""
from amge.errors import VideoError
from amge.video.windows import windows
try: list(windows({str(path)!r}, 4))
except VideoError as e: print(e)
"""
    done = subprocess.run([sys.executable, "-W", "error", "-c", code], capture_output=True, text=True, check=True)
    assert done.stderr == ""
    assert "truncated" in done.stdout


def test_write_video(tmp_path):
    write_video(tmp_path / "a.mp4", grey(10), 12.5)
    (window,) = windows(tmp_path / "a.mp4", 10)
    assert window.end == pytest.approx(0.8)
    assert np.abs(window.frames.astype(int) - grey(10)).mean() < 3
    with pytest.raises(VideoError, match="uint8"):
        write_video(tmp_path / "b.mp4", np.zeros((2, 32, 32, 3)), 30)
