"""Tokenizers: words into the numbers that the networks read."""
