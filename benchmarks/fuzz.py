"""Do odd files do any harm? Many damaged ones, drawn from a seed, are read in a process of its own; a table and JSON.

python benchmarks/fuzz.py --count 500 --seed 0                   videos
python benchmarks/fuzz.py --kind keypoints pictures checkpoints --count 300
python benchmarks/fuzz.py --seed 0 --only 137 --keep /tmp/odd    one of them again, and its file to look at

A file does harm if it ends the process or holds it up for over ten seconds; if it raises what is no `VideoError` (of a
checkpoint: no `ValueError` or `OSError`), or says so in more than one line or 600 characters, or without its name; if
it makes Python warn; if it leaves a file descriptor open; if it takes over 300 MB; or if an answer can't be true:
times that don't ascend, and for a video without damage a `duration` that is not the end of the last window, or frames
after a search that are not those of a decode from the start.
"""

import argparse
import faulthandler
import gc
import json
import os
import re
import resource
import signal
import subprocess
import sys
import tempfile
import traceback
import warnings
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np

HANG, LONG, LARGE = 10, 600, 300
"""Seconds, characters and MB from which something is a fault."""


# In the process that reads


class Reader:
    """Calls the library, and notes what must not be.

    Args:
        path: of the file or folder.
        allowed: what may be raised.
    """

    def __init__(self, path: Path, allowed: tuple[type[Exception], ...]) -> None:
        self.path, self.allowed = path, allowed
        self.faults: list[str] = []
        self.answers: Counter[str] = Counter()

    def __call__(self, name: str, call: Callable[[], Any]) -> Any:
        """What a call returns; None if it raises."""
        try:
            with warnings.catch_warnings(record=True) as warned:
                warnings.simplefilter("always")
                answer = call()
            self.faults += [f"{name}: warns {each.category.__name__}: {each.message}" for each in warned]
            self.answers[f"{name} answers"] += 1
            return answer
        except self.allowed as error:
            text = str(error)
            self.answers[f"{name} refuses"] += 1
            self.expect(len(text.splitlines()) == 1, f"{name}: {len(text.splitlines())} lines: {text!r:.200}")
            self.expect(len(text) - len(str(self.path)) <= LONG, f"{name}: {len(text)} characters: {text!r}")
            self.expect(str(self.path) in text, f"{name}: does not name the file: {text!r}")
        except Exception as error:
            own = [each for each in traceback.extract_tb(error.__traceback__) if "/amge/" in each.filename]
            place = f"{'/'.join(Path(own[-1].filename).parts[-2:])}:{own[-1].lineno}" if own else "?"
            self.faults.append(f"{name}: {type(error).__name__}: {error!s:.300} ({place})")
        return None

    def expect(self, true: bool, otherwise: str) -> None:
        if not true:
            self.faults.append(otherwise)


def read_video(path: Path, sound: bool) -> Reader:
    from amge.errors import VideoError
    from amge.video.read import duration, frames_at
    from amge.video.windows import windows

    reader = Reader(path, (VideoError,))
    clips = reader("windows", lambda: list(windows(path, 6)))
    for clip in clips or ():
        ascending = 0 <= clip.start < clip.end < float("inf") and (np.diff(clip.times) >= 0).all()
        reader.expect(ascending, f"windows: from {clip.start} to {clip.end} with frames at {clip.times}")
        reader.expect(len(clip.frames) == 6, f"windows: {clip.frames.shape}")
    seconds = reader("duration", lambda: duration(path))
    if seconds is not None:
        reader.expect(0 < seconds < float("inf"), f"duration: {seconds}")
    end = clips[-1].end if clips else seconds or 1.0
    times = [0.1 * end, 0.5 * end, 0.9 * end]
    reader("frames_at", lambda: frames_at(path, times))
    if sound and clips is not None:
        (clip,) = windows(path, 6, seconds=1e6)
        fits = seconds is not None and abs(seconds - clip.end) <= 1e-3
        reader.expect(fits, f"duration: {seconds} s, but the last window ends at {clip.end:.3f} s")
        for time in (times[1], times[2], end - 1e-2):
            searched = reader("frames_at", lambda time=time: frames_at(path, [time]))
            plain = reader("frames_at", lambda time=time: frames_at(path, [0.0, time]))
            same = searched is not None and plain is not None and np.array_equal(searched[-1], plain[-1])
            reader.expect(same, f"frames_at: another frame at {time:.2f} s of {end:.2f} s after a search")
    return reader


def read_pictures(path: Path, sound: bool) -> Reader:
    from amge.errors import VideoError
    from amge.video.read import duration, frames_at
    from amge.video.windows import windows

    reader = Reader(path, (VideoError,))
    reader("windows", lambda: list(windows(path, 6)))
    reader("duration", lambda: duration(path))
    reader("frames_at", lambda: frames_at(path, [0.0, 1.0]))
    return reader


def read_keypoints(path: Path, sound: bool) -> Reader:
    import amge
    from amge.errors import VideoError
    from amge.skeleton.files import read_skeletons

    global MODEL
    MODEL = MODEL or amge.build("st-gcn", pretrained="open-exercise-2d")
    reader = Reader(path, (VideoError,))
    skeletons = reader("read_skeletons", lambda: read_skeletons(path))
    if skeletons is not None:
        times = np.asarray(skeletons.times)
        reader.expect(bool(np.isfinite(times).all() and (np.diff(times) > 0).all()), f"read_skeletons: times {times}")
    found = reader("predict", lambda: MODEL.predict(path))
    if found is not None:
        fine = all(each is None or 0 <= each <= 1 for each in found.values())
        reader.expect(fine, f"predict: {dict(found)}")
    return reader


def read_checkpoint(path: Path, sound: bool) -> Reader:
    import amge

    reader = Reader(path, (ValueError, OSError))
    reader("from_pretrained", lambda: amge.from_pretrained(path))
    return reader


MODEL: Any = None
READERS: dict[str, Callable[[Path, bool], Reader]] = {
    "video": read_video,
    "pictures": read_pictures,
    "keypoints": read_keypoints,
    "checkpoints": read_checkpoint,
}


def memory(key: str) -> float:
    """`VmRSS`, or `VmHWM`, its peak, in MB."""
    return int(Path("/proc/self/status").read_text().split(f"{key}:")[1].split()[0]) / 1024


def open_files() -> int:
    return len(os.listdir("/proc/self/fd"))


def serve() -> None:
    """Read files, a line of JSON each, and answer with a line."""
    answers = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)  # what a library prints is no answer
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    faulthandler.enable()
    for number, line in enumerate(sys.stdin):
        kind, path, sound = json.loads(line)
        files, peak = open_files(), memory("VmHWM")
        faulthandler.dump_traceback_later(HANG, exit=True)
        reader = READERS[kind](Path(path), sound)
        faulthandler.cancel_dump_traceback_later()
        gc.collect()
        reader.expect(open_files() <= files, f"{open_files() - files} file descriptors left open")
        grown = memory("VmHWM") - peak if number else 0.0  # libraries come with the first file
        reader.expect(grown < LARGE, f"takes {grown:.0f} MB more than any before")
        answer = {"faults": reader.faults, "answers": reader.answers, "rss": memory("VmRSS"), "files": open_files()}
        print(json.dumps(answer), file=answers, flush=True)


# In the process that makes files


class Worker:
    """A process that reads; another one where it died."""

    def __init__(self, log: Path) -> None:
        self.log = log
        self.process: subprocess.Popen[str] | None = None
        self.deaths = 0
        self.rss: list[list[float]] = []
        """After each file, of one process after another."""

    def read(self, kind: str, path: Path, sound: bool) -> dict[str, Any]:
        if self.process is None:
            self.rss.append([])
            with self.log.open("w") as log:
                command = [sys.executable, __file__, "--serve"]
                pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "stderr": log}
                self.process = subprocess.Popen(command, text=True, **pipes)
        assert self.process.stdin and self.process.stdout
        try:
            self.process.stdin.write(json.dumps([kind, str(path), sound]) + "\n")
            self.process.stdin.flush()
            line = self.process.stdout.readline()
        except BrokenPipeError:
            line = ""
        if line:
            answer = json.loads(line)
            self.rss[-1].append(answer["rss"])
            return answer
        code = self.end()
        self.deaths += 1
        log = self.log.read_text(errors="replace")
        if "Timeout (" in log:
            places = re.findall(r'File ".*?/(\w+/\w+\.py)", line (\d+) in (\w+)', log.split("Timeout (")[1])
            fault = f"hangs in {' < '.join(':'.join(place) for place in places[:4])}"
        else:
            ending = f"signal {signal.Signals(-code).name}" if code < 0 else f"code {code}"
            fault = f"ends the process with {ending}: {log[-1500:]}"
        return {"faults": [fault], "answers": {}}

    def end(self) -> int:
        if self.process is None:
            return 0
        assert self.process.stdin and self.process.stdout
        self.process.stdin.close()
        self.process.stdout.close()
        code, self.process = self.process.wait(), None
        return code


def cases(kind: str, seed: int, numbers: range, folder: Path) -> Iterator[tuple[int, Path, str, str]]:
    """Number, path, what the file is made of, and how it is damaged."""
    import odd_files

    whole = Path(__file__).parents[1] / "amge" / "weights" / "st-gcn.open-exercise"
    makers: dict[str, Callable[[Path, np.random.Generator], tuple[Path, str, str]]] = {
        "video": odd_files.damaged_video,
        "pictures": odd_files.damaged_pictures,
        "keypoints": odd_files.damaged_keypoints,
        "checkpoints": lambda place, rng: odd_files.damaged_checkpoint(place, rng, whole),
    }
    for number in numbers:
        place = folder / f"{kind}-{seed}-{number}"
        place.mkdir()
        yield number, *makers[kind](place, np.random.default_rng([seed, list(READERS).index(kind), number]))


def fuzz(worker: Worker, kind: str, seed: int, numbers: range, keep: Path | None = None) -> dict[str, Any]:
    """Read one file after another."""
    found, answers, damages = [], Counter[str](), Counter[str]()
    worker.deaths, worker.rss = 0, [[]]
    with tempfile.TemporaryDirectory() as temporary:
        folder = keep or Path(temporary)
        folder.mkdir(parents=True, exist_ok=True)
        for number, path, made, damage in cases(kind, seed, numbers, folder):
            answer = worker.read(kind, path, not damage)
            answers.update(answer["answers"])
            damages[damage.split()[0] if damage else "none"] += 1
            about = {"seed": seed, "only": number, "made": made, "damage": damage or "none"}
            found += [about | {"fault": fault.replace(str(path), path.name)} for fault in answer["faults"]]
            if not keep:
                subprocess.run(["rm", "-r", str(Path(temporary, f"{kind}-{seed}-{number}"))], check=True)
    longest = max(worker.rss, key=len)
    settled = longest[min(50, len(longest) // 2) :] or [0.0]
    return {
        "files": len(numbers),
        "damage": dict(damages.most_common()) if kind == "video" else {},
        "answers": dict(sorted(answers.items())),
        "processes that died": worker.deaths,
        "MB": {
            "after": len(longest) - len(settled),
            "files": len(settled),
            "grown": round(settled[-1] - settled[0], 1),
        },
        "faults": found,
    }


def kind_of(fault: str) -> str:
    """A fault without the numbers and names of one file."""
    return re.sub(r"\d+(\.\d+)?", "N", re.sub(r"'[^']*'|\[.*?\]", "…", fault))[:100]


def table(result: dict[str, Any]) -> str:
    lines = []
    for kind, found in result["kinds"].items():
        said = ", ".join(f"{name} {count}" for name, count in found["answers"].items())
        memory = f"{found['MB']['grown']:+} MB over {found['MB']['files']} files"
        lines += [f"{kind}: {found['files']} files; {said}; {found['processes that died']} deaths; {memory}"]
        groups = Counter(kind_of(each["fault"]) for each in found["faults"])
        for name, count in groups.most_common():
            first = next(each for each in found["faults"] if kind_of(each["fault"]) == name)
            lines.append(f"  {count:4} {name}\n       --only {first['only']}: {first['made']}; {first['damage']}")
        lines += ["     no fault"] * (not groups)
    return "\n".join(lines)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--kind", nargs="+", default=["video"], choices=list(READERS))
    parser.add_argument("--count", type=int, default=500, help="files of each kind")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--only", type=int, help="number of the one file to make")
    parser.add_argument("--keep", type=Path, help="folder for the files; default: they go")
    parser.add_argument("--out", type=Path, help="file for the result")
    parser.add_argument("--serve", action="store_true", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.serve:
        serve()
        return
    import av

    numbers = range(options.count) if options.only is None else range(options.only, options.only + 1)
    with tempfile.TemporaryDirectory() as folder:
        worker = Worker(Path(folder, "log"))
        kinds = {kind: fuzz(worker, kind, options.seed, numbers, options.keep) for kind in options.kind}
        worker.end()
    result = {"seed": options.seed, "av": av.__version__, "ffmpeg": av.ffmpeg_version_info, "kinds": kinds}
    if options.out:
        options.out.write_text(json.dumps(result, indent=1) + "\n")
    print(table(result))


if __name__ == "__main__":
    main()
