import errno
import os
import pickle
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
import torch
from PIL import Image
from torch import nn

from amge.errors import VideoError
from amge.synthetic import render
from amge.video import flow_cache
from amge.video.flow import BOUND, pair_flow
from amge.video.flow_cache import FlowCache, decode, encode
from amge.video.windows import windows
from amge.video.write import write_video

pytest.importorskip("cv2")
ENTRY = 30 * 48 * 64 * 2  # bytes of flow of the videos here, about


def moving(frames, step=(1, 0), height=48, width=64):
    """Raw video of a texture that moves by `step` pixels a frame, right and down."""
    rng = np.random.default_rng(0)
    coarse = torch.from_numpy(rng.random((1, 3, 24, 32), dtype=np.float32))
    wide = nn.functional.interpolate(coarse, size=(height + 80, width + 80), mode="bicubic").clamp(0, 1)
    wide = (wide[0].permute(1, 2, 0) * 255).byte().numpy()
    x, y = 40, 40
    return np.stack(
        [wide[y - t * step[1] :, x - t * step[0] :][:height, :width] for t in range(frames)],
    )


@pytest.fixture(scope="module")
def video(tmp_path_factory):
    """A person who exercises for 1 s, 30 frames a second."""
    path = tmp_path_factory.mktemp("video") / "person.mp4"
    write_video(path, render("jumping_jack", frames=30, size=(48, 64), fps=30).frames, 30)
    return path


@pytest.fixture
def copy(video, tmp_path):
    """A copy of the video for a test to change."""
    path = tmp_path / "copy.mp4"
    path.write_bytes(video.read_bytes())
    return path


@pytest.fixture
def made(monkeypatch):
    """How often flow was computed, as a list that grows by one each time."""
    calls = []
    monkeypatch.setattr(flow_cache, "pair_flow", lambda method: calls.append(method) or pair_flow(method))
    return calls


def cache_in(tmp_path, **options):
    return FlowCache(tmp_path / "flow", **{"side": 48, **options})


def entries(cache):
    return sorted(cache.folder.iterdir())


def test_quantisation():
    flow = np.linspace(-BOUND, BOUND, 1001, dtype=np.float32)
    stored = encode(flow)
    assert stored.dtype == np.uint8 and decode(stored).dtype == np.float32
    assert np.abs(decode(stored) - flow).max() <= 0.08
    assert encode(np.array([0, -99, 99, BOUND])).tolist() == [128, 1, 255, 255] and decode(encode(np.zeros(1))) == 0


def test_a_video_is_computed_once(tmp_path, video, made):
    cache = cache_in(tmp_path)
    flow, times = cache.get(video, 0.1)
    assert flow.shape == (10, 48, 64, 2) and flow.dtype == np.uint8 and isinstance(flow, np.memmap)
    np.testing.assert_allclose(times, np.arange(10) / 10, atol=0.002)
    assert not flow.flags.writeable and (flow[0] == 128).all() and (flow[1:] != 128).any()
    again, same = pickle.loads(pickle.dumps(cache)).get(str(video), np.float32(0.1001))
    cache_in(tmp_path, side=np.int64(48), rate=10, fps=np.float64(30)).get(video, 0.1)
    assert made == ["dis"] and np.array_equal(again, flow) and np.array_equal(same, times)
    assert [path.suffix for path in entries(cache)] == [".npy"]


def test_flow_is_that_from_the_frame_a_step_earlier(tmp_path):
    frames = moving(12, (1, -1))
    flow, times = cache_in(tmp_path, rate=30).get(torch.from_numpy(frames), 0.1)
    np.testing.assert_allclose(times, np.arange(12) / 30)
    assert (flow[:3] == 128).all()  # nothing was on screen 0.1 s before
    inner = np.median(decode(flow[3:, 8:-8, 8:-8]), axis=(1, 2))
    np.testing.assert_allclose(inner, np.broadcast_to([3, -3], inner.shape), atol=0.5)
    measure = pair_flow("dis")
    for t in range(3, 12):
        assert np.array_equal(flow[t], encode(measure(frames[t - 3], frames[t])))


@pytest.mark.parametrize(("fps", "rate", "kept"), [(30, 10, 10), (25, 10, 12), (8, 10, 30), (30, 100, 30)])
def test_the_time_grid(tmp_path, fps, rate, kept):
    frames = np.random.default_rng(0).integers(0, 256, (30, 16, 20, 3), dtype=np.uint8)
    flow, times = cache_in(tmp_path, side=16, fps=fps, rate=rate).get(frames, 0.15)
    assert len(flow) == len(times) == kept
    assert len(np.unique(np.floor((times + 1e-3) * rate))) == kept
    assert np.isin(np.round(times * fps, 6), np.arange(30)).all()
    assert (flow[times < 0.149] == 128).all()  # of few frames the last one from before counts
    assert not (flow[times > 0.151] == 128).all(axis=(1, 2, 3)).any()


@pytest.mark.parametrize(("size", "expected"), [((90, 160), (40, 71)), ((64, 48), (53, 40)), ((20, 30), (40, 60))])
def test_the_shorter_side_has_the_size_asked_for(tmp_path, size, expected):
    video = tmp_path / "video.mp4"
    write_video(video, moving(4, height=size[0], width=size[1]), 10)
    cache = cache_in(tmp_path, side=40)
    assert cache.get(video, 0.1)[0].shape == (4, *expected, 2)
    assert cache.get(moving(4, height=size[0], width=size[1]), 0.1)[0].shape[1:] == (*expected, 2)


def test_only_the_frames_of_a_step_are_held(tmp_path, monkeypatch):
    alive, most = set(), 0

    class Picture(np.ndarray):
        def __del__(self):
            alive.discard(id(self))

    def scaled(picture, side):
        nonlocal most
        copied = picture.copy().view(Picture)
        alive.add(id(copied))
        most = max(most, len(alive))
        return copied

    monkeypatch.setattr(flow_cache, "_scaled", scaled)
    frames = np.zeros((200, 16, 16, 3), np.uint8)
    flow, _ = cache_in(tmp_path, side=16).get(frames, 0.2)
    assert len(flow) == 67 and 0 < most <= 9


def test_folders_and_pictures(tmp_path, made):
    frames = moving(3, (2, 0))
    folder = tmp_path / "pictures"
    folder.mkdir()
    paths = tuple(folder / f"{i}.png" for i in range(3))
    for path, frame in zip(paths, frames, strict=True):
        Image.fromarray(frame).save(path)
    cache = cache_in(tmp_path, fps=5)
    flow, times = cache.get(folder, 0.2)
    assert flow.shape == (3, 48, 64, 2) and times.tolist() == [0, 0.2, 0.4]
    assert np.median(decode(flow[1:, 8:-8, 8:-8]), axis=(0, 1, 2)).tolist() == pytest.approx([2, 0], abs=0.5)
    turns, times = cache.get(paths[::-1], 0.03)
    assert times.tolist() == pytest.approx([0, 0.03, 0.06])  # whatever the rate
    inner = np.median(decode(turns[:, 8:-8, 8:-8, 0]), axis=(1, 2))
    assert inner.tolist() == pytest.approx([4, -2, -2], abs=0.5)  # the first one comes after the last
    assert cache.get(paths[:1], 0.1)[0].shape == (1, 48, 64, 2)
    (folder / "note.txt").write_text("no picture")
    cache.get(folder, 0.2)
    assert len(made) == 3
    Image.fromarray(frames[0]).save(folder / "3.png")
    assert len(cache.get(folder, 0.2)[0]) == 4


def test_changed_options_and_videos_get_their_own_entry(tmp_path, copy, made):
    cache_in(tmp_path).get(copy, 0.1)
    for options, step in [({"side": 32}, 0.1), ({"rate": 5}, 0.1), ({"method": "tv-l1"}, 0.1), ({}, 0.2)]:
        if options.get("method") != "tv-l1" or hasattr(__import__("cv2"), "optflow"):
            before = len(made)
            cache_in(tmp_path, **options).get(copy, step)
            assert len(made) == before + 1
    before, cache = len(made), cache_in(tmp_path)
    cache.get(copy, 0.1)
    assert len(made) == before
    os.utime(copy, ns=(1, 1))
    cache.get(copy, 0.1)
    other = copy.with_name("elsewhere") / copy.name
    other.parent.mkdir()
    other.write_bytes(copy.read_bytes())
    os.utime(other, ns=(1, 1))
    cache.get(other, 0.1)
    assert len(made) == before + 2


def test_built_models_differ_by_their_weights(tmp_path):
    class Still(nn.Module):
        def __init__(self, value):
            super().__init__()
            self.value = nn.Parameter(torch.tensor(value))

        def forward(self, previous, following):
            return [torch.zeros_like(previous[:, :2]) + self.value]

    caches = [cache_in(tmp_path, method=Still(value), side=128, rate=30) for value in (1.0, 2.0, 1.0)]
    flows = [decode(cache.get(moving(2), 0.03)[0])[1].mean() for cache in caches]
    assert flows == pytest.approx([1, 2, 1], abs=0.08) and len(entries(caches[0])) == 2


@pytest.mark.parametrize("damage", ["half", "empty", "header", "zip", "zeros", "tail", "shape", "garbage"])
def test_a_damaged_entry_is_computed_anew(tmp_path, video, made, damage):
    cache = cache_in(tmp_path)
    flow = np.array(cache.get(video, 0.1)[0])
    (entry,) = entries(cache)
    whole = entry.read_bytes()
    if damage == "shape":
        np.save(entry, np.zeros((3, 4)))
    else:
        entry.write_bytes(
            {
                "half": whole[: len(whole) // 2],
                "empty": b"",
                "header": whole[:50],
                "zip": b"PK\x03\x04" + whole[4:],
                "zeros": bytes(len(whole)),
                "tail": whole[: len(whole) // 2] + bytes(len(whole) - len(whole) // 2),
                "garbage": whole[:10] + np.random.default_rng(0).bytes(len(whole) - 10),
            }[damage]
        )
    assert np.array_equal(cache.get(video, 0.1)[0], flow) and len(made) == 2
    assert entry.read_bytes() == whole


def test_the_folder_is_bounded(tmp_path, video, made):
    sources = [moving(30, (step, 0)) for step in (1, 0, -1)]
    cache = cache_in(tmp_path, rate=30, max_gb=2.5 * ENTRY / 1e9)
    flow, _ = cache.get(sources[0], 0.1)
    cache.get(sources[1], 0.1)
    first, second = (cache.folder / f"{cache._key(source, 0.1)}.npy" for source in sources[:2])
    os.utime(first, (100, 100))
    os.utime(second, (200, 200))
    cache.get(sources[0], 0.1)  # used last now
    kept = np.array(flow)
    cache.get(sources[2], 0.1)
    assert first.exists() and not second.exists() and len(entries(cache)) == 2
    small = cache_in(tmp_path, rate=30, max_gb=1e-9)
    newest, _ = small.get(sources[1], 0.1)
    assert entries(cache) == [second] and len(newest) == 30
    if os.name == "posix":
        assert np.array_equal(flow, kept)  # what is open stays
    assert len(made) == 4
    left = cache.folder / "killed.1.tmp"
    left.touch()
    small.get(sources[2], 0.1)
    assert left.exists()  # may be at work
    os.utime(left, (100, 100))
    small.get(sources[0], 0.1)
    assert not left.exists()


def test_an_entry_that_vanishes_is_computed_anew(tmp_path, video, made, monkeypatch):
    cache = cache_in(tmp_path)
    replace, losses = os.replace, [1]

    def lose(source, target):
        replace(source, target)
        if losses:
            losses.pop()
            os.unlink(target)

    monkeypatch.setattr(os, "replace", lose)
    assert len(cache.get(video, 0.1)[0]) == 10 and len(made) == 2
    losses += [1] * 9
    with pytest.raises(OSError, match="cannot be read after it was written"):
        cache.get(video, 0.2)


@pytest.mark.parametrize("where", ["write", "fsync"])
def test_a_full_disk(tmp_path, video, monkeypatch, where):
    def full(*args):
        raise OSError(errno.ENOSPC, "No space left on device")

    cache = cache_in(tmp_path)
    monkeypatch.setattr(*((flow_cache, "_header", full) if where == "write" else (os, "fsync", full)))
    with pytest.raises(OSError, match=r"the flow cache folder .*flow is full: free space") as caught:
        cache.get(video, 0.1)
    assert caught.value.errno == errno.ENOSPC and entries(cache) == []
    monkeypatch.undo()
    assert len(cache.get(video, 0.1)[0]) == 10


def test_a_video_that_breaks_off_leaves_nothing(tmp_path, video):
    cache = cache_in(tmp_path)
    broken = tmp_path / "broken.mp4"
    broken.write_bytes(video.read_bytes()[:-300])
    with pytest.raises(VideoError):
        cache.get(broken, 0.1)
    assert not cache.folder.exists() or entries(cache) == []


def test_a_crash_in_the_middle_leaves_nothing(tmp_path, video, monkeypatch):
    def crash(method):
        def measure(before, picture):
            raise KeyboardInterrupt

        return measure

    monkeypatch.setattr(flow_cache, "pair_flow", crash)
    cache = cache_in(tmp_path)
    with pytest.raises(KeyboardInterrupt):
        cache.get(video, 0.1)
    assert entries(cache) == []


def test_threads_and_processes_share_a_folder(tmp_path, video):
    cache = cache_in(tmp_path)
    code = (
        "import sys; from amge.video.flow_cache import FlowCache; FlowCache(sys.argv[1], side=48).get(sys.argv[2], 0.1)"
    )
    process = subprocess.Popen([sys.executable, "-c", code, str(cache.folder), str(video)])
    with ThreadPoolExecutor(4) as pool:
        flows = list(pool.map(lambda _: cache.get(video, 0.1)[0], range(4)))
    assert process.wait(60) == 0
    assert all(np.array_equal(flow, flows[0]) for flow in flows) and len(entries(cache)) == 1


def test_fill(tmp_path, video, made):
    cache = cache_in(tmp_path)
    text = tmp_path / "text.mp4"
    text.write_text("no video")
    sources = [video, text, moving(4), tmp_path / "missing.mp4"]
    failed = cache.fill(sources, 0.1, workers=2)
    assert [source for source, _ in failed] == [text, sources[3]]
    assert "text.mp4" in str(failed[0][1]) and "No such file" in str(failed[1][1])
    assert len(entries(cache)) == 2
    before = len(made)
    assert len(cache.fill(sources[::2], 0.1, workers=1)) == 0 and len(made) == before


def test_times_are_those_that_windows_gives(tmp_path, video):
    (window,) = windows(video, num_frames=30)
    _, times = cache_in(tmp_path, rate=100).get(video, 0.1)
    assert times.tolist() == list(window.times)


def test_bad_arguments(tmp_path, video):
    for options in ({"side": 8}, {"max_gb": 0}, {"rate": 0}, {"rate": float("inf")}, {"fps": -1}):
        with pytest.raises(ValueError, match=r"side must be in 16\.\.4096"):
            cache_in(tmp_path, **options)
    with pytest.raises(ValueError, match="unknown flow method 'diss'; did you mean 'dis'"):
        cache_in(tmp_path, method="diss")
    cache = cache_in(tmp_path)
    for step in (0, 0.001, -1, float("nan"), float("inf")):
        with pytest.raises(ValueError, match="step must be at least"):
            cache.get(video, step)
    for source in (7, [video], (moving(2),), moving(2)[0], np.zeros((0, 16, 16, 3), np.uint8), (), (video,), "a\0b"):
        with pytest.raises(VideoError) as caught:
            cache.get(source, 0.1)
        assert "\n" not in str(caught.value)
    pair = tmp_path / "a.png", tmp_path / "b.png"
    for path, size in zip(pair, ((20, 30), (30, 20)), strict=True):
        Image.new("RGB", size).save(path)
    with pytest.raises(VideoError, match="differ in shape"):
        cache.get(pair, 0.1)
