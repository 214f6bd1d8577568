"""The goals of `speed.py --preset gpu`, and the table that sets each beside what was measured."""

from typing import Any

import pooling

Case = dict[str, Any]

SPEED = (
    # mode, dtype, batch, times as fast as the reference, whether eager or in any way
    ("forward", "bfloat16", 1, 2.0, "any"),
    ("forward", "bfloat16", 8, 3.5, "any"),
    ("forward", "bfloat16", 32, 3.0, "any"),
    ("train", "bfloat16", 8, 1.5, "eager"),
    ("train", "bfloat16", 8, 3.0, "any"),
    ("train", "bfloat16", 32, 3.5, "any"),
    ("forward", "tf32", 32, 2.0, "any"),
    ("train", "tf32", 32, 2.0, "any"),
    ("forward", "float32", 1, 1.4, "eager"),
)
MEMORY, BACKBONE = 0.6, 0.95
"""At most so much of the reference's memory in training; at least so much of a library's speed."""


def ways(case: Case) -> dict[str, tuple[float, str, str]]:
    """How ours was run, with its speed-up over the reference as it is, and both times."""
    times: dict[str, float] = case.get("milliseconds", {})
    ours = [label for label in times if label.split(", ")[0] == case["model"]]
    plain = [label for label in times if label not in ours and not label.partition(", ")[2].startswith("compiled")]
    found = {}
    for label in ours if plain else ():
        best = min(plain, key=lambda other: times[other])
        way = label.partition(", ")[2] or "eager"
        found[way] = (times[best] / times[label], f"{times[label]:.2f} ms {way}", f"{times[best]:.2f} ms {best}")
    return found


def line(name: str, goal: float, got: float | None, words: str, least: bool = True) -> str:
    sign = ">=" if least else "<="
    if got is None:
        return f"{name:46} {sign} {goal:<5} {'-':>6} {'-':>4}  {words}"
    met = "yes" if (got >= goal if least else got <= goal) else "NO"
    return f"{name:46} {sign} {goal:<5} {got:6.2f} {met:>4}  {words}"


def why(cases: list[Case]) -> str:
    """Why there is no figure."""
    reasons = [case.get("failed") or "; ".join(case.get("skipped", {}).values()) for case in cases]
    return "not measured: " + ("; ".join(dict.fromkeys(filter(None, reasons))) or "not asked for")


def summary(results: dict[str, Any]) -> str:
    """A short table: each goal, its figure, whether it is met, and what it comes from; then what was left out."""
    cases: list[Case] = results["cases"]
    own = [case for case in cases if case.get("model") == results["model"]]
    rows = [f"{results['machine']}, torch {results['torch']}, {results['model']}", f"{'':48}goal      got  met"]
    for mode, dtype, batch, goal, how in SPEED:
        matching = [case for case in own if (case["mode"], case["dtype"], case["batch"]) == (mode, dtype, batch)]
        found = {way: figures for case in matching for way, figures in ways(case).items() if how in ("any", way)}
        name = f"{dtype} {mode}, batch {batch}{' on the CPU' if dtype == 'float32' else ''}"
        name += f", {'eager' if how == 'eager' else 'best way'}"
        if found:
            got, mine, reference = max(found.values())
            rows.append(line(name, goal, got, f"{mine}, {reference}"))
        else:
            rows.append(line(name, goal, None, why(matching)))
    for case in own:
        if case["mode"] == "train" and case["dtype"] == "bfloat16" and case["part"] == "training":
            name, peaks = f"training memory, batch {case['batch']}, of the reference's", case.get("peak_mib", {})
            others = [value for label, value in peaks.items() if label != case["model"]]
            if case["model"] in peaks and others:
                mine, reference = peaks[case["model"]], min(others)
                words = f"{mine} MiB, {reference} MiB"
                rows.append(line(name, MEMORY, mine / reference, words, least=False))
            else:
                reasons = [text for label, text in case.get("skipped", {}).items() if label.endswith(", memory")]
                words = case.get("failed") or "; ".join(reasons) or "the preset measures it on a GPU alone"
                rows.append(line(name, MEMORY, None, f"not measured: {words}", least=False))
    for case in cases:
        if case["part"] == "backbones":
            found = ways(case).get("eager")
            words = f"{found[1]}, {found[2]}" if found else why([case])
            times = case.get("milliseconds", {})
            if not found and case["model"] in times:
                words = f"{times[case['model']]:.2f} ms; {words}"
            name = f"{case['model']} {case['mode']}, batch {case['batch']}"
            rows.append(line(name, BACKBONE, found[0] if found else None, words))
    for case in cases:
        if "profile" in case:
            top = list(case["profile"]["top"].items())[:4]
            kernels = ", ".join(f"{name[:40]} {figures['share']:.0%}" for name, figures in top)
            profile = f"{case['profile']['ms']} ms in {case['profile']['launches']} launches: {kernels}"
            rows.append(f"{case['dtype']} {case['mode']}, batch {case['batch']}, {profile}")
    rows += [pooling.table(case, short=True) for case in cases if "poolings" in case]
    for case in cases:
        label = " ".join(str(case[key]) for key in ("part", "model", "mode", "dtype", "batch") if key in case)
        left = case.get("skipped", {})
        left = left if isinstance(left, dict) else {"poolings": f"no time left for {len(left)}"}
        left |= {"all": case["failed"]} if "failed" in case else {}
        rows += [f"left out, {label}: {what}: {reason}" for what, reason in left.items() if what != "reference"]
    return "\n".join(rows)
