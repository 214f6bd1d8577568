"""Muscle token distillation (MCTKD) from one timm model to another; neither is built by amge.

Both are vision transformers whose register tokens are the muscle tokens. The teacher has one bank (sender), is twice as
deep and sees what changes between two frames; the student sees a frame alone and has two banks: the main one
classifies, the receiver is compared with the teacher's tokens after every block (of the teacher: every second one). The
teacher is random here, and so are the frames; put your trained one in its place.

python examples/mctkd_between_timm_models.py
"""

import timm
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from amge.distill import TokenDistillation
from amge.heads import MeanTokens

NUM_TOKENS, NUM_CLASSES = 20, 20


def vit(depth: int, registers: int) -> nn.Module:
    """A ViT-Tiny without a head on pictures of 64 x 64, with registers in place of a class token."""
    model = timm.create_model(
        "vit_tiny_patch16_224",
        img_size=64,
        depth=depth,
        class_token=False,
        reg_tokens=registers,
        global_pool="",
        num_classes=0,
    )
    nn.init.normal_(model.reg_token)  # timm starts them at almost zero, where tokens are too alike to teach
    return model


def registers(model: nn.Module, pictures: Tensor, every: int = 1) -> tuple[Tensor, list[Tensor]]:
    """`(B, 3, H, W)` to the registers `(B, R, C)` after the final norm, and after each `every`-th block."""
    blocks = list(range(every - 1, len(model.blocks), every))
    final, features = model.forward_intermediates(pictures, blocks, return_prefix_tokens=True)
    return final[:, : model.num_prefix_tokens], [prefix for _, prefix in features]


def main(steps: int = 20) -> None:
    torch.manual_seed(0)
    teacher = vit(depth=4, registers=NUM_TOKENS).eval().requires_grad_(False)
    student, head = vit(depth=2, registers=2 * NUM_TOKENS), MeanTokens(192, NUM_CLASSES)
    distill = TokenDistillation()
    optimizer = torch.optim.AdamW([*student.parameters(), *head.parameters()], lr=5e-4)
    before, frames = torch.randn(2, 8, 3, 64, 64)
    labels = (torch.rand(8, NUM_CLASSES) < 0.2).float()
    _, sender = registers(teacher, frames - before, every=2)
    for step in range(steps):
        final, blocks = registers(student, frames)
        receiver = [block[:, NUM_TOKENS:] for block in blocks]
        distillation = distill(receiver, sender)
        classification = F.binary_cross_entropy_with_logits(head(final[:, :NUM_TOKENS]), labels)
        optimizer.zero_grad()
        (classification + distillation).backward()
        optimizer.step()
        if step in (0, steps // 2, steps - 1):
            print(f"step {step + 1:2d}: distillation {distillation:.4f}, classification {classification:.3f}")


if __name__ == "__main__":
    main()
