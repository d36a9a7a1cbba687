"""Activation checkpointing (section 2.4 of the paper) may change memory and time, never a number."""

import torch

from armchair.dalle1.config import TransformerConfig
from armchair.dalle1.transformer import Dalle1Transformer


def test_gradients_are_the_same():
    """A block computed again in the backward pass must give the gradient that keeping it gave."""
    config = TransformerConfig(
        text_vocab=20, image_vocab=16, text_length=6, grid=4, width=32, depth=3, heads=2, conv_kernel=3
    )
    torch.manual_seed(0)
    net = Dalle1Transformer(config)
    tokens, codes = torch.randint(20, (2, 5)), torch.randint(16, (2, 16))

    def gradients(on: bool) -> list[torch.Tensor]:
        net.checkpoint_activations = on
        net.zero_grad()
        text, image = net(tokens, codes)
        (text.square().mean() + image.square().mean()).backward()
        return [p.grad.clone() for p in net.parameters() if p.grad is not None]

    kept, again = gradients(False), gradients(True)
    assert len(kept) == len(again) > 30
    assert all(torch.equal(a, b) for a, b in zip(kept, again, strict=True))
