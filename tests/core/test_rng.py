"""Keyed randomness: the same picture alone or in a batch, before a crash or after it, rests on this."""

import torch

from armchair.core.rng import SeedBatch, generator, mix


def test_mix_is_fixed_for_ever():
    """A saved recipe draws the same picture in every version: these numbers may never change."""
    assert mix(0) == 5940445630358017772
    assert mix(7, "loss", 12) == mix(7, "loss", 12)
    assert 0 <= mix(2**80, -5, "빨간 사과") < 2**63


def test_mix_tells_keys_apart():
    """Joining the parts as plain text would make ("a", "b") and ("a,b") one key, and 1 and "1" too."""
    keys = [(1,), ("1",), (1, 2), (12,), ("a", "b"), ("a,b",), ("ab",), ("a,s1:b",), (-1,), ("",), ()]
    assert len({mix(*key) for key in keys}) == len(keys)


def test_generator_is_a_function_of_its_key():
    draws = [torch.rand(3, generator=generator(5, "x")) for _ in range(2)]
    assert torch.equal(*draws)
    assert not torch.equal(draws[0], torch.rand(3, generator=generator(5, "y")))


def test_image_does_not_depend_on_its_neighbours():
    """Each kind of draw, in turn: image 8 alone equals image 8 between others, in a batch of 2, 3 and 8."""

    def draws(rng: SeedBatch) -> list[torch.Tensor]:
        return [
            rng.normal(3, 5),
            rng.uniform(40),
            rng.bernoulli(0.5),
            rng.randint(-2, 9),
            rng.normal(),
            rng.uniform(2, 2),
        ]

    alone = draws(SeedBatch([8]))
    for seeds in ([8, 9], [1, 8, 2], [0, 1, 2, 3, 4, 5, 6, 8]):
        for one, many in zip(alone, draws(SeedBatch(seeds)), strict=True):
            assert torch.equal(one[0], many[seeds.index(8)])


def test_subset_continues_its_images():
    """Sampling in micro-batches draws what sampling at once does, also when it starts half-way."""
    whole, parts = SeedBatch(range(5)), SeedBatch(range(5))
    expected = [whole.normal(4), whole.normal(4)]
    first = parts.normal(4)
    rest = torch.cat([parts.subset(slice(0, 2)).normal(4), parts.subset(slice(2, 5)).normal(4)])
    assert torch.equal(first, expected[0])
    assert torch.equal(rest, expected[1])
    assert parts.subset(slice(2, 5)).seeds == (2, 3, 4)
    assert len(parts.subset(slice(2, 5))) == 3


def test_global_generator_is_left_alone():
    torch.manual_seed(0)
    before = torch.random.get_rng_state()
    SeedBatch([1, 2]).normal(10)
    generator("key")
    assert torch.equal(before, torch.random.get_rng_state())


def test_laws():
    """Shapes, types and moments of each draw over 4,000 images; all bounds are above four standard errors."""
    rng = SeedBatch(range(4000))
    normal, uniform = rng.normal(2), rng.uniform(2)
    assert normal.shape == uniform.shape == (4000, 2)
    assert normal.dtype == uniform.dtype == torch.float32
    assert abs(normal.mean()) < 0.05 and abs(normal.std() - 1) < 0.05
    assert 0 <= uniform.min() and uniform.max() < 1 and abs(uniform.mean() - 0.5) < 0.02
    flips, picks = rng.bernoulli(0.3), rng.randint(2, 5)
    assert flips.dtype == torch.bool and abs(flips.float().mean() - 0.3) < 0.035
    assert picks.dtype == torch.int64 and set(picks.tolist()) == {2, 3, 4}


def test_seeds_of_any_size():
    """A person's seed may be negative or huge. torch's CPU generator reads 32 bits only: 1 and 2**32 + 1 were
    one.
    """
    draws = SeedBatch([-1, 1, 2**32 + 1, 2**33 + 1, 2**70 + 1, 2**63 - 1, 2**32 - 1]).uniform(8)
    assert len({tuple(row.tolist()) for row in draws}) == len(draws)
    assert torch.equal(
        SeedBatch([7]).uniform(8)[0], torch.rand(8, generator=torch.Generator().manual_seed(7))
    )
