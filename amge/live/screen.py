"""A window on the screen: what the camera sees, and what the model says of it."""

import threading
from collections.abc import Callable, Collection
from typing import TYPE_CHECKING, Any

import numpy as np
from PIL import Image, ImageOps

from amge.live.watch import Result, Watch
from amge.prediction import of_windows

if TYPE_CHECKING:
    from amge.prediction import Prediction

HEIGHT, BESIDE, PAGE = 540, 384, 960
"""Pixels: the height of the window, the width of what the camera sees, and of the body map."""
PARTS = 2
_INSTEAD = "--headless prints JSON lines"


class Screen:
    """A window, by tkinter: to be used in the thread that runs the program.

    Raises:
        ImportError: if this Python has no tkinter.
        OSError: if there is no display.
    """

    def __init__(self, title: str) -> None:
        try:
            import tkinter

            from PIL import ImageTk
        except ImportError as error:
            raise ImportError(
                f"a window needs tkinter, which this Python lacks ({error}); on Debian: apt install python3-tk "
                f"python3-pil.imagetk; or {_INSTEAD}"
            ) from None
        try:
            self._root = tkinter.Tk()
        except tkinter.TclError as error:
            raise OSError(f"no window can be opened ({error}); {_INSTEAD}") from None
        self.open = True
        self._made = ImageTk.PhotoImage
        self._shown: list[Any] = [None] * PARTS
        self._photos: list[Any] = [None] * PARTS
        self._root.title(title)
        self._root.resizable(False, False)
        self._labels = [tkinter.Label(self._root, borderwidth=0) for _ in range(PARTS)]
        for label in self._labels:
            label.pack(side="left")
        self._root.protocol("WM_DELETE_WINDOW", self.close)
        for key in ("q", "<Escape>"):
            self._root.bind(key, lambda _: self.close())

    def show(self, *pictures: Image.Image) -> bool:
        """Pictures from left to right, `PARTS` of them; whether the window is still open."""
        for part, picture in enumerate(pictures):
            if self.open and picture is not self._shown[part]:
                self._shown[part], self._photos[part] = picture, self._made(picture, master=self._root)
                self._labels[part].configure(image=self._photos[part])
        if self.open:
            self._root.update()
        return self.open

    def close(self) -> None:
        if self.open:
            self.open, self._photos = False, []
            self._root.destroy()


def follow(
    watching: Watch, screen: Screen, heard: Callable[[Result], None], expected: Collection[str] | None = None
) -> None:
    """Show each frame as it comes and each result when it is there, until the frames end or the window is closed.

    Args:
        watching: what is followed, in a thread of its own.
        screen: where to.
        heard: called with each result, in that thread.
        expected: regions that should be active, for marks on the body map.

    Raises:
        Exception: what `watching` or `heard` raise.
    """
    page = Image.new("RGB", (PAGE, HEIGHT), "white")
    seen: np.ndarray | None = None
    failed: list[BaseException] = []

    def work() -> None:
        nonlocal page, seen
        try:
            for result in watching:
                heard(result)
                frames = result.prediction.frames
                seen = seen if frames is None else frames[-1]
                page = page_of(result, watching, expected)
        except BaseException as error:
            failed.append(error)

    thread = threading.Thread(target=work, name="amge-model", daemon=True)
    thread.start()
    before, small = None, fitted(None)
    working = True
    while working:
        working = thread.is_alive()
        frame = seen if watching.picture is None else watching.picture
        if frame is not before:
            before, small = frame, fitted(frame)
        if not screen.show(small, page):
            watching.close()
        thread.join(1 / 30)
    screen.close()
    if failed:
        raise failed[0]


def page_of(result: Result, watching: Watch, expected: Collection[str] | None = None) -> Image.Image:
    """The body map of a result, with how far behind it is."""
    spec = watching.model.spec
    assert spec is not None  # `Watch` refuses models without
    said: Prediction = of_windows([result.prediction], spec.labels, watching.threshold, spec.name)
    title = f"{result.prediction.end:.1f} s, {1000 * result.latency:.0f} ms behind, {result.dropped} frames dropped"
    return said.plot(title, expected=expected).resize((PAGE, HEIGHT), Image.Resampling.LANCZOS)


def fitted(frame: np.ndarray | None) -> Image.Image:
    """A frame uint8 `(H, W, 3)`, as large as there is room."""
    whole = Image.new("RGB", (BESIDE, HEIGHT), "black")
    if frame is not None:
        small = ImageOps.contain(Image.fromarray(frame), whole.size, Image.Resampling.BILINEAR)
        whole.paste(small, ((BESIDE - small.width) // 2, (HEIGHT - small.height) // 2))
    return whole
