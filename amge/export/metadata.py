"""What an exported model says of itself: text by name, JSON where it is not plain text."""

import json

from amge.prediction import threshold_of
from amge.spec import ModelSpec
from amge.version import __version__

FIELDS = ("activation", "temperature", "modality", "frames", "size", "seconds", "crop", "sampling", "mean", "std")


def metadata(spec: ModelSpec, end_to_end: bool, quantize: str | None) -> dict[str, str]:
    """Name to text."""
    values = {
        "name": spec.name,
        "licence": spec.licence or "not stated",
        "gives": "probabilities" if end_to_end else "logits",
        "quantize": quantize or "none",
        "labels": spec.labels,
        "thresholds": [threshold_of(spec.threshold, label) for label in spec.labels],
        **{name: getattr(spec, name) for name in FIELDS},
        "written_by": f"amge {__version__}",
    }
    return {name: value if isinstance(value, str) else json.dumps(value) for name, value in values.items()}
