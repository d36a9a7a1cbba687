"""One Python file a training run: `recipe()` returns all that it depends on."""
