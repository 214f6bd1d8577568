"""The recipe of `transm3e-lite`: photographs and rendered figures, in the two stages of the paper."""
