"""A toy system under the name "toy", as in the tests of the artist."""

from tests.artist.conftest import shipped, toy

__all__ = ["shipped", "toy"]
