"""The checks that distillation losses start with."""

from amge.spec import is_number


def check_scale(temperature: float, weight: float) -> None:
    """Raise `ValueError` unless the temperature is a number over 0 and the weight one from 0 up."""
    if not is_number(temperature, above=0):
        raise ValueError(f"temperature must be positive, got {temperature!r}")
    if not is_number(weight) or weight < 0:
        raise ValueError(f"weight must be a number, 0 or more, got {weight!r}")
