"""Yardsticks: what a bundle can do, in numbers with intervals."""
