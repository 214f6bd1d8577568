"""Time of `import amge` against `import torch`, each in fresh processes, interleaved, as JSON.

python benchmarks/import_time.py
"""

import json
import statistics
import subprocess
import sys
import time


def seconds(module: str) -> float:
    start = time.perf_counter()
    subprocess.run([sys.executable, "-W", "error", "-c", f"import {module}"], check=True)
    return time.perf_counter() - start


def main(repeats: int = 9) -> None:
    times: dict[str, list[float]] = {"torch": [], "amge": []}
    for round_ in range(repeats + 1):
        for module, values in times.items():
            elapsed = seconds(module)
            if round_:  # the first one fills the disk cache
                values.append(elapsed)
    medians = {module: statistics.median(values) for module, values in times.items()}
    print(
        json.dumps(
            {
                "seconds": {module: round(value, 3) for module, value in medians.items()},
                "ratio": round(medians["amge"] / medians["torch"], 3),
            }
        )
    )


if __name__ == "__main__":
    main()
