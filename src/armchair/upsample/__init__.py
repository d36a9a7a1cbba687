"""From 64 to 256 to 1024 pixels: diffusion with convolutions alone (arXiv:2204.06125, 2.1)."""
