"""Many clips at once, to a server in a process of its own. Needs Gradio."""

import os
import re
import socket
import subprocess
import sys
import threading
from contextlib import closing
from pathlib import Path

import pytest
import torch

import amge

pytest.importorskip("gradio")
STATUS = Path("/proc/self/status")
pytestmark = [pytest.mark.slow, pytest.mark.skipif(not STATUS.exists(), reason="memory is read from /proc")]
CLIP = Path(__file__).parents[2] / "examples" / "squat.mp4"
AT_ONCE = 32


def megabytes(process, kind):
    """Of a process: `VmRSS` that it has now, `VmHWM` that it had at most."""
    status = Path(f"/proc/{process.pid}/status").read_text()
    return int(re.search(rf"{kind}:\s*(\d+)", status)[1]) / 1024


@pytest.fixture
def server(tmp_path, tiny_spec):
    """Its process, address, model and folder of uploads."""
    torch.manual_seed(0)
    model = str(amge.assemble(tiny_spec).save_pretrained(tmp_path / "toy"))
    with closing(socket.socket()) as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    command = [sys.executable, "-m", "amge.cli", "demo", "--model", model, "--port", str(port)]
    uploads = tmp_path / "uploads"
    process = subprocess.Popen(
        command, env={**os.environ, "GRADIO_TEMP_DIR": str(uploads)}, stdout=subprocess.PIPE, text=True
    )
    with process:
        try:
            assert "amge demo is at" in process.stdout.readline()
            yield process, f"http://127.0.0.1:{port}", model, uploads
        finally:
            process.terminate()


def test_32_clips_at_once_are_answered_and_their_memory_is_given_back(server):
    from gradio_client import Client, handle_file

    process, address, model, uploads = server
    answers = []

    def ask(client):
        asked = client.submit(handle_file(CLIP), model, None, "biceps", api_name="/look")
        answers.append(asked.result(timeout=300)[0])

    clients = [Client(address, verbose=False) for _ in range(AT_ONCE)]
    for client in clients[:2]:  # libraries are loaded then
        ask(client)
    before = megabytes(process, "VmRSS")
    Path(f"/proc/{process.pid}/clear_refs").write_text("5")  # the most counts from here on
    threads = [threading.Thread(target=ask, args=(client,)) for client in clients]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    most, after = megabytes(process, "VmHWM"), megabytes(process, "VmRSS")
    print(f"{before:.0f} MB before, {most:.0f} at most, {after:.0f} after")
    assert len(answers) == 2 + AT_ONCE and all(answer.count("<li") == 20 for answer in answers)
    assert after < before + 100 and most < before + 250
    assert all("What speaks for Biceps" in answer for answer in answers)
    assert uploads.is_dir() and not [path for path in uploads.rglob("*") if path.is_file()], "something is still there"
