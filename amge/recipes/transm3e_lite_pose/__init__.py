"""The recipe of `transm3e-lite-pose`: a video model and a skeleton model, their muscle tokens fused."""
