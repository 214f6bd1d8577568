"""The recipe of `transm3e-small`: one pack of photographs, and stages on a GPU from random weights."""
