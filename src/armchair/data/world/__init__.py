"""Emoji World: composed scenes of real drawings with known truth, any number of them at any size."""
