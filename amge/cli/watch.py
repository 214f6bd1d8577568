"""`amge watch`."""

import json
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from amge.cli.shared import MODEL_HELP, check_model
from amge.errors import one_line_errors

if TYPE_CHECKING:
    from amge.live import Result


def watch(
    source: Annotated[
        str,
        typer.Argument(help="The number of a camera, the address of a stream (rtsp://...), or a video file."),
    ],
    model: Annotated[str, typer.Option(help=MODEL_HELP)] = "transm3e-lite",
    every: Annotated[float, typer.Option(help="Seconds from result to result.")] = 0.5,
    window: Annotated[
        float | None, typer.Option(help="Seconds that a result looks back on; default: the model's, mostly 10.")
    ] = None,
    threshold: Annotated[
        float | None,
        typer.Option(min=0, max=1, help="Probability from which a region is active; default: the model's."),
    ] = None,
    expect: Annotated[
        str | None,
        typer.Option(help="Say what differs from this exercise, such as 'barbell squat'.", metavar="EXERCISE"),
    ] = None,
    headless: Annotated[bool, typer.Option("--headless", help="No window; print a line of JSON a result.")] = False,
    save_json: Annotated[Path | None, typer.Option(help="Write these lines to this file.")] = None,
    fast: Annotated[
        bool, typer.Option("--as-fast-as-possible", help="Do not play a file at its own rate; leave nothing out.")
    ] = False,
    pose: Annotated[
        str | None, typer.Option(help="Pose estimator of models that see joints: mediapipe (default) or rtmlib.")
    ] = None,
    device: Annotated[
        str | None, typer.Option(help="Where to compute: cpu, cuda, cuda:1, mps; default: PyTorch's, the CPU.")
    ] = None,
) -> None:
    """Say again and again which muscle regions are at work before a camera, until Ctrl-C."""
    try:
        with one_line_errors(), ExitStack() as stack:
            from amge.exercises import Alert, check_labels
            from amge.exercises import expect as expected_of

            check_model(model)
            wanted = expected_of(expect) if expect else None
            screen = None
            if not headless:
                from amge.live.screen import Screen, follow

                screen = Screen("amge watch")
            from amge.builder import load
            from amge.devices import usable_device
            from amge.live import Watch

            network = load(model, usable_device(device) if device is not None else None)
            limit = network.spec.threshold if threshold is None else threshold
            if wanted:
                check_labels(wanted, network.spec.labels)
            alerts: dict[int | None, Alert] = {}
            file = stack.enter_context(save_json.open("w", encoding="utf-8")) if save_json else None
            watching = stack.enter_context(Watch(network, source, every, window, threshold, pose, fast))

            def say(plain: dict[str, Any]) -> None:
                line = json.dumps(plain)
                if headless:
                    print(line, flush=True)
                if file:
                    print(line, file=file, flush=True)

            def heard(result: "Result") -> None:
                plain, seen = result.to_dict(), result.prediction
                if wanted:
                    alert = alerts.setdefault(seen.person, Alert(wanted, limit))
                    plain["alerts"] = [str(change) for change in alert.update(seen)]
                    if not headless:
                        print("\n".join(plain["alerts"]), end="\n" if plain["alerts"] else "", flush=True)
                say(plain)

            try:
                if screen:
                    follow(watching, screen, heard, wanted.regions if wanted else None)
                else:
                    for result in watching:
                        heard(result)
            finally:
                watching.close()
                if watching.results:
                    say({"summary": watching.summary()})
    except KeyboardInterrupt:  # how a camera is left
        pass
