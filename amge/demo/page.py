"""The page: what it takes, its queue, its limits, and how it is served without anything from elsewhere."""

import secrets
from collections.abc import Callable
from concurrent.futures import Future
from contextvars import copy_context
from functools import cache, partial
from importlib.resources import files
from pathlib import Path
from queue import SimpleQueue
from threading import Thread
from typing import Any

from amge.builder import load
from amge.demo.answer import ACTIVE, LONGEST, answer, problem
from amge.exercises import known
from amge.hub.published import list_pretrained
from amge.muscles import REGIONS

try:
    import gradio as gr
    from gradio import route_utils
    from starlette.middleware import Middleware
except ImportError as error:
    raise ImportError(f"the page needs Gradio ({error}): pip install 'amge[demo]'") from None

LARGEST = 100
"""Megabytes of a clip."""
WAITING = 32
"""Clips in the queue; who comes later is told that it is full."""
SWEPT, KEPT = 300, 3600
"""Seconds from one look for forgotten files to the next, and those after which a file counts as forgotten."""
POLICY = (
    "default-src 'self' data: blob:; script-src 'self' 'unsafe-inline' 'unsafe-eval' blob:; "
    "style-src 'self' 'unsafe-inline'; base-uri 'self'; form-action 'self'; object-src 'none'"
)
"""Browsers load nothing from another host, whatever the page asks for."""


class Upload(route_utils.GradioUploadFile):
    """A file with a folder of its own. Gradio calls the folder by the content, so that two people with the same clip
    share one, and the first answer would delete the clip of the other."""

    def __init__(self, *given: Any, **named: Any) -> None:
        super().__init__(*given, **named)
        self.sha.update(secrets.token_bytes(32))


route_utils.GradioUploadFile = Upload  # type: ignore[misc]


class Policy:
    """An ASGI application with `POLICY` on each of its answers."""

    def __init__(self, app: Any) -> None:
        self.app = app

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        async def with_policy(message: Any) -> None:
            if message["type"] == "http.response.start":
                header = b"content-security-policy", POLICY.encode()
                message = message | {"headers": [*message["headers"], header]}
            await send(message)

        await self.app(scope, receive, with_policy)


loaded = cache(load)


@cache
def calls() -> "SimpleQueue[tuple[Future[str], Callable[[], str]]]":
    """Where the one thread that looks at clips takes its work from: each thread that has computed keeps memory, and
    Gradio takes any of its 40. It ends with the program, in the middle of a clip too."""
    waiting: SimpleQueue[tuple[Future[str], Callable[[], str]]] = SimpleQueue()

    def work() -> None:
        while True:
            answered, call = waiting.get()
            try:
                answered.set_result(call())
            except BaseException as error:  # whoever waits raises it
                answered.set_exception(error)

    Thread(target=work, daemon=True).start()
    return waiting


def page(model: str) -> gr.Blocks:
    """The page, with its queue.

    Args:
        model: which is chosen at first: a name, a folder of a checkpoint or a repository on the Hub.

    Raises:
        ValueError: if there is no such model.
    """
    loaded(model)
    names = list(dict.fromkeys([model, *(row.full_name for row in list_pretrained() if row.name != model)]))
    exercises = sorted(known(), key=str.lower)

    def told(
        clip: str | None,
        name: str,
        expected: str | None,
        region: str | None,
        progress: Any = gr.Progress(),  # noqa: B008
    ) -> tuple[str, None]:
        if not clip:
            return problem(ValueError("there is no clip yet; choose or record one")), None

        def found() -> str:
            return answer(loaded(name), clip, expected, lambda *read: progress(read, unit="s"), region=region)

        try:
            answered: Future[str] = Future()
            calls().put((answered, partial(copy_context().run, found)))
            return answered.result(), None
        except (ValueError, OSError, ImportError) as error:
            return problem(error, clip), None
        finally:
            Path(clip).unlink(missing_ok=True)

    with gr.Blocks(title="amge", analytics_enabled=False, delete_cache=(SWEPT, KEPT)) as blocks:
        gr.Markdown(
            "# Muscles at work\n"
            f"A clip of somebody who exercises, up to {LONGEST:.0f} s and {LARGEST} MB. It is deleted as soon as its "
            "answer is there."
        )
        with gr.Row():
            with gr.Column(scale=1, min_width=300):
                clip = gr.Video(
                    label="Clip",
                    sources=["upload", "webcam"],
                    include_audio=True,  # to leave it out takes the command ffmpeg
                    webcam_options=gr.WebcamOptions(mirror=False),  # so does this
                )
                name = gr.Dropdown(names, value=model, label="Model")
                expected = gr.Dropdown(
                    exercises, value=None, label="Expected exercise (optional)", allow_custom_value=True
                )
                region = gr.Dropdown(
                    [("No", ""), ("For what is at work", ACTIVE), *((f"For {each.name}", each.id) for each in REGIONS)],
                    value="", label="Show where the model looks", info="Takes two to four times as long.",
                )  # fmt: skip
                start = gr.Button("Look", variant="primary")
            with gr.Column(scale=2, min_width=300):
                said = gr.HTML("The answer comes here.", label="Answer", min_height=280)
        asked = [clip, name, expected, region]
        start.click(told, asked, [said, clip], concurrency_limit=1, api_name="look", show_progress_on=said)
    return blocks.queue(max_size=WAITING)


def serve(model: str, host: str | None = None, port: int | None = None, wait: bool = True) -> tuple[gr.Blocks, str]:
    """Serve the page until Ctrl-C.

    Args:
        model: as for `page`.
        host: address to listen at; default: what the environment variable `GRADIO_SERVER_NAME` says, or 127.0.0.1.
        port: to listen at; default: the first that is free from 7860 on.
        wait: until it ends; otherwise it is served in the background.

    Returns:
        the page, which has `close()`, and its address.

    Raises:
        ValueError: if there is no such model.
        OSError: if the port is taken.
    """
    blocks = page(model)
    font = ["system-ui", "sans-serif"]
    _, address, _ = blocks.launch(
        server_name=host,
        server_port=port,
        share=False,
        quiet=True,
        prevent_thread_lock=True,
        ssr_mode=False,
        footer_links=[],
        max_file_size=f"{LARGEST}mb",
        theme=gr.themes.Default(font=font, font_mono=["ui-monospace", "monospace"]),
        css=(files("amge.demo") / "style.css").read_text(encoding="utf-8"),
        app_kwargs={"middleware": [Middleware(Policy)]},
    )
    print(f"amge demo is at {address} (Ctrl-C ends it)", flush=True)
    if wait:
        blocks.block_thread()
    return blocks, address
