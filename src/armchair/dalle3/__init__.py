"""DALL·E 3: captions that describe, a latent diffusion model trained on them, and words to draw with."""
