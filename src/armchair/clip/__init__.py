"""CLIP: pictures and words in one space (arXiv:2103.00020)."""
