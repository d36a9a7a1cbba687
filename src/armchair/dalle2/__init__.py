"""DALL·E 2: a prior from words to CLIP's image embedding, and a diffusion decoder from there to pixels."""
