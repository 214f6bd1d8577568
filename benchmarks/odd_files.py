"""Files as they come: of many kinds, damaged in many ways. All is drawn from one generator, so a seed tells it all."""

import json
import os
import shutil
from collections.abc import Callable
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import numpy as np
from numpy.random import Generator
from PIL import Image

X264, VP9 = {"preset": "ultrafast"}, {"deadline": "realtime", "cpu-used": "8"}
CODECS: dict[str, dict[str, str]] = {
    "libx264": X264,
    "libx265": {"preset": "ultrafast", "x265-params": "log-level=none"},
    "libvpx": VP9,
    "libvpx-vp9": VP9,
}
"""Options of encoders that are slow or talk without them."""
CONTAINERS: dict[str, tuple[str, str, str]] = {
    "mp4": ("mp4", "libx264 libx265 mpeg4 libvpx-vp9 mpeg2video mjpeg", "aac"),
    "mov": ("mov", "libx264 libx265 mpeg4 mpeg2video mjpeg prores_ks", "pcm_s16le"),
    "mkv": ("matroska", "libx264 libx265 mpeg4 libvpx-vp9 mpeg2video mjpeg ffv1", "aac"),
    "webm": ("webm", "libvpx libvpx-vp9", "libopus"),
    "avi": ("avi", "libx264 mpeg4 mpeg2video mjpeg msmpeg4v2 ffv1", "mp2"),
    "ts": ("mpegts", "libx264 libx265 mpeg2video mpeg4", "aac"),
    "mpg": ("mpeg", "mpeg2video mpeg1video", "mp2"),
    "flv": ("flv", "libx264 flv", "aac"),
    "wmv": ("asf", "wmv2 msmpeg4", "wmav2"),
    "3gp": ("3gp", "libx264 mpeg4", "aac"),
    "gif": ("gif", "gif", ""),
}
"""Suffix to the container's name, and the codecs of pictures and sound that it takes."""
FORMATS = {"mjpeg": "yuvj420p", "prores_ks": "yuv422p10le", "gif": "rgb8"}
CLOCKS = ("from 0", "late", "negative", "short pause", "long pause", "reset")
ODD_VALUES: tuple[Any, ...] = (
    None,
    -1,
    0,
    0.5,
    1e308,
    2**63,
    10**400,
    True,
    "",
    "text",
    "\ud800",
    [],
    [[]],
    {},
    [None],
)


def pick(rng: Generator, options: Any) -> Any:
    return options[int(rng.integers(len(options)))]


# Videos


def video(folder: Path, rng: Generator) -> tuple[Path, str]:
    """A whole video of 20 to 60 frames of 64 x 48; also what it is made of."""
    while True:
        suffix = pick(rng, list(CONTAINERS))
        name, codecs, sound = CONTAINERS[suffix]
        codec, rate, count = pick(rng, codecs.split()), pick(rng, [5, 10, 25]), int(rng.integers(20, 61))
        streams = pick(rng, ["picture"] * 3 + ["picture, sound", "sound, picture", "two pictures"] * (sound != ""))
        clock = pick(rng, [CLOCKS[0]] * 5 + [*CLOCKS])
        flags = (
            pick(rng, ["", "", "+faststart", "+frag_keyframe+empty_moov"]) if suffix in ("mp4", "mov", "3gp") else ""
        )
        options = {"movflags": flags} if flags else {}
        path, gop = folder / f"whole.{suffix}", int(rng.integers(1, 30))
        try:
            with av.open(str(path), "w", format=name, options=options) as file:
                packets = []
                for stream in streams.replace("two pictures", "picture, picture").split(", "):
                    if stream == "sound":
                        packets += sound_packets(file, sound, count / rate + rng.uniform(0, 3))
                    else:
                        packets += picture_packets(file, codec, rate, count, gop, int(rng.integers(256)))
                for packet in clocked(packets, clock, count / rate / 2):
                    file.mux(packet)
        except (av.FFmpegError, ValueError):  # a container that refuses this
            continue
        what = [suffix, codec, f"{count} frames", f"{rate} fps", streams, clock, *options.values()]
        return path, ", ".join(what)


def picture_packets(file: Any, codec: str, rate: int, count: int, gop: int, seed: int) -> list[Any]:
    stream = file.add_stream(codec, rate, options=CODECS.get(codec, {}))
    stream.width, stream.height, stream.pix_fmt = 64, 48, FORMATS.get(codec, "yuv420p")
    stream.codec_context.gop_size, stream.codec_context.thread_count = gop, 1
    stream.codec_context.time_base = Fraction(1, rate)
    packets = []
    for number in range(count):
        pixels = np.full((48, 64, 3), (seed + 40, 128, 255 * number // count), np.uint8)
        pixels[10:30, number : number + 10] = 255 - seed
        frame = av.VideoFrame.from_ndarray(pixels)
        frame.pts, frame.time_base = number, Fraction(1, rate)
        packets += stream.encode(frame)
    return packets + stream.encode(None)


def sound_packets(file: Any, codec: str, seconds: float) -> list[Any]:
    rate = 48000
    stream = file.add_stream(codec, rate, layout="mono")
    tone = (3000 * np.sin(np.arange(int(seconds * rate)) / 20)).astype(np.int16)[None]
    frame = av.AudioFrame.from_ndarray(tone, "s16", "mono")
    frame.sample_rate, frame.pts, frame.time_base = rate, 0, Fraction(1, rate)
    return stream.encode(frame) + stream.encode(None)


def clocked(packets: list[Any], clock: str, middle: float) -> list[Any]:
    """Packets in the order of their times, with another clock."""
    before, after = {
        "from 0": (0.0, 0.0),
        "late": (2.5, 2.5),
        "negative": (-1.0, -1.0),
        "short pause": (0.0, 20.0),
        "long pause": (0.0, 5000.0),
        "reset": (middle + 1, 0.0),
    }[clock]
    packets = sorted((p for p in packets if p.dts is not None), key=lambda p: p.dts * p.time_base)
    for packet in packets:
        packet.dts, packet.pts = (
            None
            if stamp is None
            else stamp + round((before if stamp * packet.time_base < middle else after) / packet.time_base)
            for stamp in (packet.dts, packet.pts)
        )
    return packets


# Damage to bytes


def cut(data: bytes, rng: Generator) -> bytes:
    return data[: int(rng.integers(len(data)))]


def flipped(data: bytes, rng: Generator, first: int = 0, last: int | None = None, most: int = 20) -> bytes:
    """With some bits turned, between two places."""
    changed = bytearray(data)
    for place in rng.integers(first, max(last or len(data), first + 1), int(rng.integers(1, most + 1))).clip(
        0, len(data) - 1
    ):
        changed[place] ^= 1 << int(rng.integers(8))
    return bytes(changed)


def head(data: bytes, rng: Generator) -> bytes:
    return flipped(data, rng, 0, 512, 4)


def tail(data: bytes, rng: Generator) -> bytes:
    return flipped(data, rng, max(len(data) - 512, 0), None, 4)


def rewritten(data: bytes, rng: Generator) -> bytes:
    """With up to 8 numbers of an index overwritten: in its first or last 2 KiB."""
    changed = bytearray(data)
    start = pick(rng, [0, max(len(data) - 2048, 0)])
    for _ in range(int(rng.integers(1, 9))):
        place = start + int(rng.integers(min(2048, len(data))))
        value = pick(
            rng, [b"\0", b"\xff", b"\x7f", b"\0\0\0\0", b"\xff\xff\xff\xff", b"\x7f\xff\xff\xff", rng.bytes(4)]
        )
        changed[place : place + len(value)] = value
    return bytes(changed[: len(data)])


def removed(data: bytes, rng: Generator) -> bytes:
    first, last = sorted(rng.integers(len(data), size=2).tolist())
    return data[:first] + data[last:]


def doubled(data: bytes, rng: Generator) -> bytes:
    first, last = sorted(rng.integers(len(data), size=2).tolist())
    return data[:last] + data[first:]


def zeroed(data: bytes, rng: Generator) -> bytes:
    """As a disk or a download leaves it that was not through."""
    first, last = sorted(rng.integers(len(data), size=2).tolist())
    return data[:first] + bytes(last - first) + data[last:]


BYTES: tuple[Callable[[bytes, Generator], bytes], ...] = (
    cut,
    flipped,
    head,
    tail,
    rewritten,
    removed,
    doubled,
    zeroed,
)


def damaged(path: Path, rng: Generator) -> str:
    """Damage a file; says how."""
    damage = pick(rng, BYTES)
    path.write_bytes(damage(path.read_bytes(), rng))
    return damage.__name__


def damaged_video(folder: Path, rng: Generator) -> tuple[Path, str, str]:
    """A video; what it is made of, and its damage, or '' for one in eight."""
    path, made = video(folder, rng)
    way = pick(rng, ["", *["bytes"] * 5, "joined", "called wrongly"])
    if way == "bytes":
        way = damaged(path, rng)
    elif way == "joined":
        (folder / "other").mkdir()
        other, what = video(folder / "other", rng)
        path.write_bytes(path.read_bytes() + other.read_bytes())
        way = f"joined with {what}"
    elif way == "called wrongly":
        suffix = pick(
            rng, [*(f".{each}" for each in CONTAINERS if f".{each}" != path.suffix), ".txt", ".jpg", "", ".MP4"]
        )
        path = path.rename(path.with_suffix(suffix))
        way = f"called {suffix or 'without a suffix'}"
    return path, made, way


# Pictures, keypoints, checkpoints


def damaged_pictures(folder: Path, rng: Generator) -> tuple[Path, str, str]:
    """A folder of three pictures, of which one is damaged."""
    suffix, orientation = pick(rng, ["jpg", "png", "webp", "bmp"]), int(rng.integers(0, 10))
    mode = pick(rng, ["RGB"] * 3 + ["L"] + ["RGBA", "P", "I;16"] * (suffix == "png") + ["CMYK"] * (suffix == "jpg"))
    exif = Image.Exif()
    exif[0x0112], exif[0x010E] = orientation, "a squat"
    for number in range(3):
        pixels = rng.integers(0, 256, (48, 64, 3), dtype=np.uint8)
        image = Image.fromarray(pixels[..., 0].astype(np.uint16) * 256) if mode == "I;16" else Image.fromarray(pixels)
        image = image if mode == "I;16" else image.convert(mode)
        image.save(folder / f"{number}.{suffix}", **({} if suffix == "bmp" else {"exif": exif}))
    return folder, f"{suffix}, {mode}, orientation {orientation}", damaged(folder / f"{rng.integers(3)}.{suffix}", rng)


def damaged_keypoints(folder: Path, rng: Generator) -> tuple[Path, str, str]:
    """A file of keypoints, of which an entry or the bytes are odd."""
    count, joints = int(rng.integers(2, 40)), pick(rng, [17, 17, 17, 33, 25])
    points = rng.uniform(5, 400, (int(rng.integers(1, 3)), count, joints, 3))
    points[..., 2] = rng.uniform(0, 1, points.shape[:3])
    suffix, way = pick(rng, ["npz", "json"]), pick(rng, ["bytes", "values", "values", ""])
    path = folder / f"keypoints.{suffix}"
    if suffix == "npz":
        arrays: dict[str, Any] = {"keypoints": points, "times": np.arange(count) / 30, "fps": 30.0}
        arrays |= {"scores": points[..., 2]} if rng.random() < 0.3 else {}
        if way == "values":
            way = odd_array(arrays, rng)
        np.savez(path, **arrays)
    else:
        content: Any = [
            {"image_id": frame, "keypoints": person[frame].ravel().tolist(), "track_id": number, "category_id": 1}
            for number, person in enumerate(points)
            for frame in range(count)
        ]
        if rng.random() < 0.5:
            images = [{"id": frame, "file_name": f"{frame:05d}.jpg"} for frame in range(count)]
            content = {"images": images, "annotations": content, "fps": 30}
        if way == "values":
            way = odd_value(content, rng)
        path.write_text(json.dumps(content))
    way = damaged(path, rng) if way == "bytes" else way
    return path, f"{suffix}, {points.shape}", way


def odd_array(arrays: dict[str, Any], rng: Generator) -> str:
    """Make one of some arrays an odd one; says which and how."""
    name = pick(rng, list(arrays))
    old = np.asarray(arrays[name])
    some = rng.random(old.shape) < 0.2
    ways: dict[str, Callable[[], Any]] = {
        "of NaN": lambda: np.where(some, np.nan, old),
        "all NaN": lambda: np.full(old.shape, np.nan),
        "of infinity": lambda: np.where(some, np.inf, old),
        "huge": lambda: old * 1e300,
        "tiny": lambda: old * 1e-300,
        "negative": lambda: -old,
        "all 0": lambda: old * 0,
        "turned": lambda: old.T,
        "flat": lambda: old.ravel(),
        "empty": lambda: old[..., :0] if old.ndim else np.zeros(0),
        "of no frames": lambda: old[:, :0] if old.ndim > 1 else old[:0] if old.ndim else np.array(np.nan),
        "one more axis": lambda: old[None],
        "shuffled": lambda: rng.permutation(old) if old.ndim else old,
        "whole numbers": lambda: old.astype(np.int64),
        "complex": lambda: old * 1j,
        "text": lambda: old.astype(str),
        "bool": lambda: old > 0,
        "objects": lambda: np.array([None, {}], object),
    }
    way = pick(rng, list(ways))
    arrays[name] = ways[way]()
    return f"{name} {way}"


def odd_value(content: Any, rng: Generator) -> str:
    """Put an odd value at a random place of a JSON document, or take the place away; says where and what."""
    where = ""
    while True:
        key = pick(rng, list(content)) if isinstance(content, dict) else int(rng.integers(len(content)))
        where += f"[{key!r}]"
        if not (isinstance(content[key], dict | list) and content[key]) or rng.random() < 0.2:
            break
        content = content[key]
    if rng.random() < 0.2:
        del content[key]
        return f"without {where}"
    content[key] = pick(rng, ODD_VALUES)
    return f"{where} = {content[key]!r:.20}"


def damaged_checkpoint(folder: Path, rng: Generator, whole: Path) -> tuple[Path, str, str]:
    """A copy of a checkpoint of which a file is damaged."""
    copy = folder / "checkpoint"
    shutil.copytree(whole, copy)
    name = pick(rng, ["config.json", "config.json", "model.safetensors"])
    path, way = copy / name, pick(rng, ["bytes", "values", "values", "gone"])
    if way == "values" and name == "config.json":
        content = json.loads(path.read_text())
        way = odd_value(content, rng)
        path.write_text(json.dumps(content))
    elif way == "values":  # its head is JSON after its own length
        data = path.read_bytes()
        length = int.from_bytes(data[:8], "little")
        content = json.loads(data[8 : 8 + length])
        way = odd_value(content, rng)
        text = json.dumps(content).encode()
        path.write_bytes(len(text).to_bytes(8, "little") + text + data[8 + length :])
    elif way == "gone":
        os.remove(path)
    else:
        way = damaged(path, rng)
    return copy, name, way
