"""The captioner: one pass for both losses, cached speaking, what it starts from, what its bundle holds."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
import torch
from PIL import Image

from armchair.clip.config import ClipConfig, ResNetConfig, TextConfig
from armchair.core.bundle import Bundle
from armchair.core.errors import BadInput
from armchair.core.rng import SeedBatch
from armchair.core.task import Batch, Caption, Sample, Spot
from armchair.dalle3.captioner_config import MANNERS, CaptionerConfig
from armchair.dalle3.captioner_pipeline import CaptionerModel
from armchair.dalle3.captioner_task import UNNAMED, CaptionerTask, CaptionerTaskConfig
from armchair.data.captions import CaptionMix
from armchair.data.world.art import ShapeArt
from armchair.data.world.reading import read
from armchair.data.world.scene import WorldConfig
from armchair.data.world.source import World
from tests.clip.tiny import clip_task
from tests.clip.tiny import saved as saved_clip
from tests.dalle1.tiny import Pictures, saved

NET = CaptionerConfig(clip=ClipConfig(text=TextConfig(length=20)), depth=2)


@pytest.fixture(scope="module")
def clip(tmp_path_factory: pytest.TempPathFactory) -> Bundle:
    return saved_clip(tmp_path_factory.mktemp("captioner") / "clip", clip_task())


def captioner_task(clip: Bundle, source=None, **changes) -> CaptionerTask:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(4)
        task = CaptionerTaskConfig(**{"net": NET, **changes}).build({"clip": clip}, None)
    task.prepare(Pictures() if source is None else source, torch.Generator())
    return task


def batch(task: CaptionerTask, indices: list[int]) -> Batch:
    source = Pictures()
    made = [task.example(source[i], torch.Generator().manual_seed(i)) for i in indices]
    data = {name: torch.stack([example[name] for example in made]) for name in made[0]}
    return Batch(data, indices, 0, task.counts(data))


def test_it_starts_from_clip(clip: Bundle):
    """CLIP's towers to the bit, with more places for words behind CLIP's own; marks of parameters stay."""
    task, weights = captioner_task(clip), clip.tensors("clip")
    own = task.net.clip.state_dict()
    assert own["text.position_embedding"].shape[0] == 20 > weights["text.position_embedding"].shape[0] == 12
    for name, value in weights.items():
        assert torch.equal(own[name][: len(value)] if value.ndim else own[name], value), name
    assert getattr(task.net.clip.text.position_embedding, "no_muon", False)
    with pytest.raises(BadInput, match="starts from CLIP's towers: --using clip=BUNDLE"):
        CaptionerTaskConfig(net=NET).build({}, None)
    with pytest.raises(ValueError, match="no image tokens"):
        CaptionerConfig(clip=ClipConfig(image=ResNetConfig()))


def test_both_losses(clip: Bundle):
    """Nats a token of every caption, each alone; CLIP's loss over one caption a picture; their weights."""
    task = captioner_task(clip, each=2, contrast=0.5, captioning=3.0)
    made = batch(task, [0, 1, 2, 3])
    with torch.no_grad():
        loss, logged = task.loss(made, SeedBatch(made.indices))
        _, seen = task.net.see(made.data["image"].float() / 255)
        total = count = 0.0
        for i in range(4):
            for tokens, manner in zip(made.data["tokens"][i], made.data["manner"][i], strict=True):
                end = int(tokens.argmax())
                context = task.net.context(seen[i : i + 1], manner[None])
                logs = task.net(tokens[None, : end + 1], context)[1][0].log_softmax(-1)
                total -= logs[torch.arange(end), tokens[1 : end + 1]].sum()
                count += end
    torch.testing.assert_close(logged["captioning"], total / count, rtol=1e-4, atol=1e-4)
    assert loss.item() == pytest.approx(3 * float(logged["captioning"]) + 0.5 * float(logged["contrast"]))


def test_micro_batches(clip: Bundle):
    """A contrastive loss needs the whole batch; the fine-tunes, which have none, do not, and all that they
    train has a gradient.
    """
    task, fine = captioner_task(clip), captioner_task(clip, contrast=0.0)
    made = batch(task, [0, 1, 2, 3])
    half = Batch({k: v[:2] for k, v in made.data.items()}, [0, 1], 0, made.totals)
    with pytest.raises(BadInput, match="accumulate=2: a contrastive loss needs its whole batch"):
        task.loss(half, SeedBatch([0, 1]))
    parts = [
        fine.loss(Batch({k: v[s] for k, v in made.data.items()}, [0, 1], 0, made.totals), SeedBatch([0, 1]))[
            0
        ]
        for s in (slice(0, 2), slice(2, 4))
    ]
    torch.testing.assert_close(sum(parts), fine.loss(made, SeedBatch(made.indices))[0], rtol=1e-4, atol=1e-4)
    sum(parts).backward()
    assert all(p.grad is not None for p in fine.net.parameters() if p.requires_grad)  # as DDP needs it


def test_words_see_the_picture_and_no_later_word(clip: Bundle):
    """A leak from later words would make the loss fall to nothing and the captions nonsense."""
    task = captioner_task(clip)
    made = batch(task, [0, 1])
    tokens, manner = made.data["tokens"][:, 0], made.data["manner"][:, 0]
    _, seen = task.net.see(made.data["image"].float() / 255)
    with torch.no_grad():
        plain = task.net(tokens, task.net.context(seen, manner))[1]
        later = tokens.clone()
        later[:, 3] = 7
        changed = task.net(later, task.net.context(seen, manner))[1]
        other = task.net(tokens, task.net.context(seen.flip(0), manner))[1]
        kind = task.net(tokens, task.net.context(seen, (manner + 1) % len(MANNERS)))[1]
    torch.testing.assert_close(plain[:, :3], changed[:, :3])
    assert not torch.allclose(plain[:, 3], changed[:, 3])
    assert not torch.allclose(plain[:, 0], other[:, 0]) and not torch.allclose(plain[:, 0], kind[:, 0])


def test_cached_speaking_is_the_plain_network(clip: Bundle):
    """Greedy words by cached keys against a full pass a word; alone or beside others."""
    task = captioner_task(clip)
    model = CaptionerModel(task._packed(), task.bpe)
    x = batch(task, [0, 1, 2]).data["image"].float() / 255
    manner = MANNERS.index(("long", "en"))
    rows = model._say(x, manner, None, 0.0, None)
    text, net = task.net.clip.text.config, model.net
    with torch.no_grad():
        context = net.context(net.see(x)[1], torch.full((3,), manner))
        for i, row in enumerate(rows):
            logits = net(torch.tensor([[text.start, *row]]), context[i : i + 1])[1][0]
            logits[:, task.bpe.vocab : text.end] = -torch.inf
            likeliest = logits.argmax(-1).tolist()
            assert likeliest[: len(row)] == row
            assert len(row) == text.length - 1 or likeliest[-1] == text.end
    assert model._say(x[1:2], manner, None, 0.0, None) == rows[1:2]


def test_it_learns_to_caption(clip: Bundle):
    """Two pictures by heart: the captions come out, and the sampled ones obey their seeds."""
    task = captioner_task(clip, contrast=0.0)
    made = batch(task, [0, 1])
    optimizer = torch.optim.Adam(task.net.parameters(), 5e-3)
    for _ in range(40):
        optimizer.zero_grad()
        task.loss(made, SeedBatch(made.indices))[0].backward()
        optimizer.step()
    model = CaptionerModel(task._packed(), task.bpe, ["en"])
    images = [Image.fromarray(Pictures()[i].image) for i in (0, 1)]
    wanted = [Pictures()[i].captions[0].text for i in (0, 1)]
    assert model.caption(images, "alt", "en") == wanted
    warm = [
        model.caption(images, "alt", "en", temperature=5.0, seeds=seeds) for seeds in ([1, 2], [1, 2], [3, 2])
    ]
    assert warm[0] == warm[1] and warm[0][1] == warm[2][1] and warm[0][0] != warm[2][0]
    with pytest.raises(BadInput, match="does not speak 'ko'; it speaks en"):
        model.caption(images, "alt", "ko")
    with pytest.raises(BadInput, match="no captions of kind 'lng'. Did you mean 'long'"):
        model.caption(images, "lng", "en")


def test_captions_of_unknown_kind_and_language(clip: Bundle):
    """A folder of pictures tells neither: whatever is asked for, the words come in the manner learned there,
    not in one that was never trained.
    """
    model = CaptionerModel(captioner_task(clip)._packed(), captioner_task(clip).bpe)
    x = torch.rand(1, 3, model.config.clip.image_size, model.config.clip.image_size)
    learned = model._say(x, MANNERS.index(("alt", "")), None, 0.0, None)
    for kind, language in (("short", "en"), ("long", "ko"), ("alt", "en")):
        assert model._say(x, model._manner(kind, language), None, 0.0, None) == learned
    with pytest.raises(BadInput, match="does not speak 'fr'; it speaks en, ko"):
        model.caption(x, "short", "fr")


def test_fine_tunes(clip: Bundle, tmp_path: Path):
    """The bundle goes on with --init, and short captions then name the main subject alone."""
    task = captioner_task(clip, storage="int8")
    bundle = saved(tmp_path / "captioner", task)
    again = CaptionerTaskConfig(contrast=0, subject=True).build({"clip": clip}, bundle)
    assert again.config.net == task.config.net and again.net.clip.text.config.length == 20
    model = CaptionerModel.from_bundle(bundle, torch.device("cpu"))
    torch.testing.assert_close(again.net.head.weight, model.net.head.weight)
    world = World(WorldConfig(size=16, single=0), art=ShapeArt())
    mix = CaptionMix(kinds={"short": 1}, languages={"en": 1})
    fine = replace(again.config, captions=mix)
    chosen = CaptionerTask(fine, again.bpe, None)._said(world[3], torch.Generator().manual_seed(0))
    assert [t.concept for t in read(chosen.text).things] == [world.scene(3).things[0].concept]
    stranger = Sample("x", world[3].image, (Caption("a cat and a dog", "short", "en"),))
    assert CaptionerTask(fine, again.bpe, None)._said(stranger, torch.Generator()).text == "a cat and a dog"


def test_evaluation_reads_the_captions(clip: Bundle):
    """Where the truth is known, what captions say is compared with it; elsewhere the nats must do."""
    assert set(captioner_task(clip).evaluate(Pictures(), 4)) == {"nats"}
    world = World(WorldConfig(size=16, concepts=8), art=ShapeArt())
    task = captioner_task(clip, world, captions=CaptionMix(kinds={"long": 1}))
    scores = task.evaluate(world, 3)
    assert {"objects_long_en", "objects_long_ko", "main_long_en"} <= set(scores)
    assert task.languages == ("en", "ko")


def test_evaluation_asks_for_each_manner(clip: Bundle, monkeypatch: pytest.MonkeyPatch):
    """A model that is told no languages speaks one manner, whatever it is asked for."""
    asked = []
    manner = CaptionerModel._manner
    monkeypatch.setattr(
        CaptionerModel, "_manner", lambda self, *how: asked.append(manner(self, *how)) or asked[-1]
    )
    world = World(WorldConfig(size=16, concepts=8), art=ShapeArt())
    captioner_task(clip, world, captions=CaptionMix(kinds={"short": 1, "long": 1})).evaluate(world, 1)
    both = [(kind, language) for language in ("en", "ko") for kind in ("short", "long")]
    assert asked == [MANNERS.index(pair) for pair in both]


def test_image_tokens_say_names(clip: Bundle):
    """Those in a thing's box learn the end of its name, of two things the smaller one's; the rest nothing;
    nor do any of a picture of which a square is cut.
    """
    task = captioner_task(clip, contrast=0.0, naming=0.5)
    size, grid = task.config.net.clip.image_size, task.config.net.clip.grid
    text = "a red apple on a cat"
    spots = (Spot(11, 0.0, 0.0, 1.0, 1.0), Spot(20, 0.5, 0.5, 2.0, 2.0))  # a corner; all of it
    images = torch.randint(256, (2, size, size, 3), generator=torch.Generator().manual_seed(0))
    square = Sample("x", images[0].byte().numpy(), (Caption(text, "short", "en", spots),))
    made = task.example(square, torch.Generator().manual_seed(0))
    apple, cat = (task.bpe.encode(text[: spot.end])[-1] for spot in spots)
    assert apple != cat
    names = made["names"].reshape(grid, grid)
    assert (names[: grid // 2, : grid // 2] == apple).all() and (names == apple).sum() == (grid // 2) ** 2
    assert (names == cat).sum() == grid**2 - (grid // 2) ** 2
    wide = Sample("y", images.byte().reshape(size, 2 * size, 3).numpy(), square.captions)
    unnamed = task.example(wide, torch.Generator().manual_seed(0))
    assert (unnamed["names"] == UNNAMED).all()
    data = {name: torch.stack([made[name], unnamed[name]]) for name in made}
    both = Batch(data, [0, 1], 0, task.counts(data))
    assert both.totals["named"] == grid**2
    optimizer = torch.optim.Adam(task.net.parameters(), 5e-3)
    first = task.loss(both, SeedBatch([0, 1]))[1]
    for _ in range(20):
        optimizer.zero_grad()
        loss, logged = task.loss(both, SeedBatch([0, 1]))
        loss.backward()
        optimizer.step()
    assert loss.item() == pytest.approx(2 * float(logged["captioning"]) + 0.5 * float(logged["naming"]))
    assert float(logged["naming"]) < 0.5 * float(first["naming"])


def test_stressed_words_are_those_that_tell_what_stands(clip: Bundle):
    """From the end of the first name to that of the last, each as often as is said; none of captions whose
    things are unknown.
    """
    task = captioner_task(clip, emphasis=3.0, naming=0.5)
    text = "cat on dog in blue"
    spots = (Spot(10, 0.5, 0.7, 0.4, 0.4), Spot(3, 0.5, 0.2, 0.4, 0.4))
    size = task.config.net.clip.image_size
    image = torch.zeros(size, size, 3, dtype=torch.uint8).numpy()
    made = task.example(Sample("x", image, (Caption(text, "short", "en", spots),)), torch.Generator())
    before, end = len(task.bpe.encode("cat")), len(task.bpe.encode("cat on dog"))
    assert made["stressed"][0].nonzero().flatten().tolist() == list(range(before, end + 1))
    plain = task.example(Sample("x", image, (Caption(text, "short", "en"),)), torch.Generator())
    assert not plain["stressed"].any()
    both = {name: torch.stack([made[name], plain[name]]) for name in made}
    assert task.counts(both)["tokens"] == both["tokens"].argmax(-1).sum() + 2 * (end + 1 - before)
    with torch.no_grad():
        _, seen = task.net.see(both["image"].float() / 255)
        stressed = task._read(both, seen)[1]
        once = task._read({name: value for name, value in both.items() if name != "stressed"}, seen)[1]
    assert stressed[1] == pytest.approx(float(once[1])) and stressed[0] > 1.2 * once[0]
    with pytest.raises(BadInput, match=r"task\.emphasis=0\.5: a factor of 1 or more"):
        CaptionerTaskConfig(emphasis=0.5)


def test_image_tokens_come_with_the_names_that_they_say(clip: Bundle, tmp_path: Path):
    """Nothing changes untrained; a captioner without names goes on with them, and keeps them."""
    net = replace(NET, names=True)
    plain = captioner_task(clip, naming=1.0)
    named = CaptionerTaskConfig(net=net, naming=1.0).build({}, saved(tmp_path / "plain", plain))
    made = batch(plain, [0, 1])
    with torch.no_grad():
        _, seen = named.net.see(made.data["image"].float() / 255)
        manner = made.data["manner"][:, 0]
        before = named.net.context(seen, manner)
        torch.testing.assert_close(before[:, 1:], seen)
        torch.nn.init.normal_(named.net.name_in.weight, std=0.5)
        after = named.net.context(seen, manner)
    torch.testing.assert_close(after[:, :2], before[:, :2])  # the manner and the embedding
    assert not torch.isclose(after[:, 2:], before[:, 2:]).all(dim=-1).any()
    again = CaptionerTaskConfig(naming=1.0).build({}, saved(tmp_path / "named", named))
    torch.testing.assert_close(again.net.name_in.weight, named.net.name_in.weight, rtol=1e-3, atol=1e-3)
    with pytest.raises(BadInput, match=r"needs image tokens that learn names: task\.naming above 0"):
        CaptionerTaskConfig(net=net)
