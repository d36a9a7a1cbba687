"""The page's conversation: what was said in turn is settled to one prompt, which the person may change before
it is drawn again.
"""

from __future__ import annotations

from collections.abc import AsyncGenerator
from typing import TYPE_CHECKING, Any

from armchair.serve.page.desk import Wish
from armchair.serve.page.shown import HIDDEN, conversation, wrong

if TYPE_CHECKING:
    from armchair.serve.page.clicks import Clicks

Updates = dict[Any, Any]  # components -> what they show now


def wire_chat(clicks: Clicks) -> list[Any]:
    """The events that draw, so that they can be stopped. The seed stays in its field from turn to turn, so
    that what was not mentioned stays alike.
    """
    page, count = clicks.page, len(clicks.common)

    async def send(request: Any, *values: Any) -> AsyncGenerator[Updates]:
        talk, turns, model, text = values[count:]
        scene: dict[str, Any] = {}
        async with clicks.telling() as trouble:
            clicks.need(text)
            scene = await clicks.desk.settle(model, [*talk, text], clicks.owner(request))
        if trouble:
            yield {page.progress: wrong(trouble[0])}
            return
        revised = scene["revised_prompt"]
        drawn = scene["prompt"] if revised is None else revised
        turns = [*turns, ("user", text, None)]
        yield {
            page.turns: turns,
            page.conversation: conversation(turns),
            page.talk: [*talk, text],
            page.message: "",
            page.revised: drawn,
        }
        async for found in answer(request, values, turns, model, scene["prompt"], drawn):
            yield found

    async def redraw(request: Any, *values: Any) -> AsyncGenerator[Updates]:
        turns, model, text = values[count:]
        async for found in answer(request, values, turns, model, text, text):
            yield found

    async def answer(
        request: Any, values: Any, turns: list[Any], model: str, prompt: str, drawn: str
    ) -> AsyncGenerator[Updates]:
        """Draw one picture; prompt: what was asked for, drawn: what is drawn in its place"""
        album, *common = values[:count]
        wishes: list[Wish] = []
        async with clicks.telling() as trouble:
            clicks.need(drawn)
            settings = {**clicks.values(*common), "n": 1}
            extras = {} if drawn == prompt else {"revised": drawn}
            wishes = [Wish(model=model, operation="generate", prompt=prompt, values=settings, extras=extras)]
        if trouble:
            yield {page.progress: wrong(trouble[0])}
            return
        async for states in clicks.desk.draw(wishes, clicks.owner(request), clicks.words):
            found = clicks.show(states, album)
            if page.album in found and states[0].drawn:
                shot = states[0].drawn[0]
                turns = [*turns, ("assistant", drawn, shot["file"])]
                found |= {page.turns: turns, page.conversation: conversation(turns)}
                found[page.seed] = str(shot["seed"])
            yield found

    def forget() -> Updates:
        return dict(zip(fresh, ([], [], "", "", ""), strict=True))

    both = {"concurrency_limit": None, **HIDDEN}
    fresh = [page.talk, page.turns, page.conversation, page.revised, page.seed]
    outputs = [*clicks.outputs, *fresh, page.message]
    said = [*clicks.common, page.talk, page.turns, page.model["talk"], page.message]
    edited = [*clicks.common, page.turns, page.model["talk"], page.revised]
    page.new_chat.click(forget, None, fresh, **HIDDEN)
    return [
        page.go["send"].click(clicks.typed(send), said, outputs, **both),
        page.message.submit(clicks.typed(send), said, outputs, **both),
        page.redraw.click(clicks.typed(redraw), edited, outputs, **both),
    ]
