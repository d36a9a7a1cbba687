"""The prompt writer: its network, its training, and that no thing is ever lost."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from armchair.core.bundle import Bundle, save_bundle
from armchair.core.errors import BadInput
from armchair.core.rng import SeedBatch
from armchair.core.task import Batch
from armchair.data.world.reading import agrees, read
from armchair.nn.tokens import speak
from armchair.writer.network import prefix_of
from armchair.writer.pipeline import WriterModel
from armchair.writer.task import WriterTaskConfig, distinct
from tests.dalle1.tiny import Pictures
from tests.writer.tiny import SOURCE, TINY, network, saying, writer_task


def batch(task, indices: list[int]) -> Batch:
    made = [task.example(SOURCE[i], torch.Generator().manual_seed(i)) for i in indices]
    data = {name: torch.stack([example[name] for example in made]) for name in made[0]}
    return Batch(data, indices, 0, task.counts(data))


def test_cached_writing_is_the_plain_network():
    """Greedy words by cached keys, packed weights and a shared prefix against a full pass a word."""
    task, net = writer_task(), network().eval()
    model = WriterModel(network(), task.bpe)
    ids = prefix_of(TINY, task.bpe.encode("a red cat"), task.bpe.encode("make it blue"), "en")
    plain = torch.tensor([ids])
    with torch.no_grad():
        for _ in range(12):
            logits = net.logits(net(plain)[:, -1])
            logits[:, task.bpe.vocab : TINY.end] = -torch.inf
            said = logits.argmax(-1)
            plain = torch.cat([plain, said[:, None]], dim=1)
    wanted = plain[0, len(ids) :].tolist()
    import armchair.writer.pipeline as module

    rows: list[list[int]] = []

    def greedy(step, first, **options):
        rows.extend(speak(step, first, end=-1, length=12))
        return rows

    original = module.speak
    module.speak = greedy
    try:
        model.attempts("a red cat", "make it blue", "en", 0, 3)
    finally:
        module.speak = original
    assert rows == [wanted] * 3


def test_what_it_is_written_from():
    """The first id says the language, the request has its own mark, a long source leaves room to write."""
    assert prefix_of(TINY, [1, 2], [], "ko") == [TINY.start("ko"), 1, 2, TINY.write]
    assert prefix_of(TINY, [1], [3], "en") == [TINY.start("en"), 1, TINY.request, 3, TINY.write]
    long = prefix_of(TINY, [5] * 999, [3], "en")
    assert len(long) == TINY.length // 2 and long[-1] == TINY.write
    assert len({TINY.start("en"), TINY.start("ko"), TINY.request, TINY.write, TINY.end}) == 5
    assert max(TINY.end, TINY.request) < TINY.ids == network().token_embedding.num_embeddings


def test_loss_is_of_what_is_written():
    """Nats of the description and its end, whatever stands around it in the batch; shares add up."""
    task = writer_task(reading=0.0)
    made = batch(task, [0, 1, 2, 3, 4])
    with torch.no_grad():
        loss = task.loss(made, SeedBatch(made.indices))[0]
        total = count = 0.0
        for tokens, written, length in zip(
            *(made.data[k] for k in ("tokens", "written", "length")), strict=True
        ):
            row = tokens[: int(length)]
            logs = task.net.logits(task.net(row[None]))[0].log_softmax(-1)
            places = written[: int(length)].nonzero()[:, 0]
            total -= logs[places - 1, row[places]].sum()
            count += len(places)
        torch.testing.assert_close(loss, total / count, rtol=1e-4, atol=1e-4)
        assert row[-1] == TINY.end and written[: int(length)][-1], "the end is learned too"
        halves = [batch(task, part) for part in ([0, 1], [2, 3, 4])]
        shares = [
            task.loss(Batch(h.data, h.indices, 0, made.totals), SeedBatch(h.indices))[0] for h in halves
        ]
    torch.testing.assert_close(sum(shares), loss, rtol=1e-4, atol=1e-4)


def test_it_learns():
    """A few lessons by heart: the loss falls far, and the words come out."""
    task = writer_task()
    made = batch(task, [0])
    optimizer = torch.optim.Adam(task.net.parameters(), 3e-2)
    first = task.loss(made, SeedBatch(made.indices))[0].item()
    for _ in range(25):
        optimizer.zero_grad()
        loss = task.loss(made, SeedBatch(made.indices))[0]
        loss.backward()
        optimizer.step()
    assert loss.item() < 0.6 * first


def test_evaluation_and_bundle(tmp_path: Path):
    """Scores of texts as the bundle's weights write them; the bundle loads and goes on."""
    task = writer_task(storage="int8")
    with torch.no_grad():
        scores = task.evaluate(SOURCE, 2)
    assert scores["nats"] > 1 and 0 <= scores["distinct_2"] <= 1
    assert any(name.startswith("kept_") for name in scores)
    bundle = save_bundle(
        tmp_path / "writer", kind="writer", name="writer", components=task.components(),
        languages=task.languages, licence="Apache-2.0", trained={}, scores={},
    )  # fmt: skip
    model = WriterModel.from_bundle(Bundle.open(bundle.folder), torch.device("cpu"))
    one, two = (model.attempts("a red cat", "", "en", 3, n) for n in (1, 3))
    assert one == two[:1] and two[1] != two[2], "attempts differ, and do not depend on their number"
    again = WriterTaskConfig(net=TINY).build({}, bundle)
    assert again.bpe is not None and again.bpe.vocab == task.bpe.vocab
    torch.testing.assert_close(again.net.out.weight, model.net.out.weight)


def test_other_sources_are_refused():
    """Pictures with captions are no lessons for it."""
    with pytest.raises(BadInput, match="leave --data away"):
        writer_task().prepare(Pictures(), torch.Generator())
    with pytest.raises(BadInput, match="--using clip: the writer builds on text alone"):
        WriterTaskConfig().build({"clip": None}, None)


def test_bytes_that_make_no_letter_are_not_said():
    """A byte-level tokenizer can be told half a letter; such an attempt gives way to the next."""
    good = "A glossy picture of a red cat on a white background."
    written = saying(lambda *_: [good.replace("picture", "pic\ufffdture"), good]).write("a red cat")
    assert written.how == "network" and written.text == good


def test_no_thing_is_lost():
    """The first attempt that holds everything is taken; where none does, the graph is told."""
    good = "A flat picture of a red cat on a blue car."
    bad = ["A flat picture of a red cat.", "A blue cat on a red car.", "A red cat on a blue car and a dog."]
    model = saying(lambda *_: [bad[0], good])
    assert model.write("a red cat on a blue car").text == good
    repaired = saying(lambda *_: bad).write("a red cat on a blue car")
    assert repaired.how == "repaired" and agrees(repaired.text, read("a red cat on a blue car"))
    assert 15 <= len(repaired.text.split()) <= 80
    korean = saying(lambda *_: bad).write("파란 자동차 위에 있는 빨간 고양이", "en")
    assert agrees(korean.text, read("a red cat on a blue car"), loose=True)


@pytest.mark.parametrize(
    "prompt", ["a dragonfruit", "an avocado armchair", "두리안 한 개", "peace and quiet"]
)
def test_words_that_nobody_knows_stay(prompt: str):
    """What cannot be checked is not rewritten: the person's own words, and what they leave open."""
    written = saying(lambda *_: ["A cat."]).write(prompt)
    assert written.how == "own words" and written.text.startswith(prompt)
    assert len(written.text) > len(prompt) + 10


def test_a_description_is_rewritten_whole():
    """A change is in it, the rest is kept; what nobody understands is appended; a new picture begins anew."""
    before = "A glossy picture of a cat on a white background. The cat is in the middle."
    good = "A glossy picture of a red cat on a white background. It is in the middle."
    model = saying(lambda *_: ["A glossy picture of a red cat on a blue background.", good])
    assert model.revise(before, "make it red").text == good, "the background was not to change"
    told = saying(lambda *_: [before]).revise(before, "add a dog on the left")
    assert told.how == "repaired"
    assert agrees(told.text, read("a dog left of a cat on a white background, in a glossy style"))
    odd = saying(lambda *_: [good]).revise(before, "make it more dramatic")
    assert odd.text == before.rstrip(".") + ". make it more dramatic" and odd.how == "own words"
    new = saying(lambda *_: []).revise(before, "a blue car")
    assert new.new and not {t.concept for t in read(new.text).things} & {"cat"}


def test_unknown_language():
    with pytest.raises(BadInput, match="does not write 'fr'"):
        saying(lambda *_: []).write("a cat", "fr")


def test_distinct():
    """Different pairs of words over all pairs, as in the paper."""
    assert distinct(["a b c", "a b d"]) == 3 / 4
    assert distinct(["one"]) == 0
