"""Models of other code bases as models of this one: their configuration, their names of weights, their quirks."""

from amge.convert.checkpoint import Refused, convert_checkpoint
from amge.convert.reference import from_reference
from amge.convert.report import Origin, Report

__all__ = ["Origin", "Refused", "Report", "convert_checkpoint", "from_reference"]
