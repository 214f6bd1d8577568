"""Where the time of one forward pass goes, by operator, as JSON.

python benchmarks/profile_model.py --model transm3e-small
"""

import argparse
import json

import torch
from torch.profiler import ProfilerActivity, profile

import amge


@torch.inference_mode()
def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", default="transm3e-small")
    parser.add_argument("--device", default="cuda" if torch.cuda.is_available() else "cpu")
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--rows", type=int, default=10)
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    model = amge.build(options.model).eval().to(options.device)
    clip = torch.randn(1, 3, model.spec.frames, model.spec.size, model.spec.size, device=options.device)
    model(clip)
    activities = [ProfilerActivity.CUDA] if options.device == "cuda" else [ProfilerActivity.CPU]
    with profile(activities=activities) as record:
        model(clip)
    kind = f"self_{'device' if options.device == 'cuda' else 'cpu'}_time_total"
    times = {row.key: getattr(row, kind) / 1000 for row in record.key_averages()}
    total = sum(times.values())
    top = sorted(times.items(), key=lambda item: -item[1])[: options.rows]
    shares = {name: {"ms": round(ms, 1), "share": round(ms / total, 3)} for name, ms in top}
    print(
        json.dumps({"model": options.model, "torch": torch.__version__, "ms": round(total, 1), "top": shares}, indent=2)
    )


if __name__ == "__main__":
    main()
