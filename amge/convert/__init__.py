"""Models of other code bases as models of this one: their configuration, their names of weights, their quirks."""

from amge.convert.reference import from_reference

__all__ = ["from_reference"]
