"""What a click on the page does: from what is filled in to wishes, and from what is drawn to what is seen."""

from __future__ import annotations

import asyncio
import base64
import contextlib
from collections.abc import AsyncGenerator, Awaitable, Callable, Mapping, Sequence
from html import escape
from typing import Any

from armchair.serve import errors
from armchair.serve.canvas import Size
from armchair.serve.codecs import Pixels
from armchair.serve.errors import ApiError
from armchair.serve.page.desk import Desk, Progress, Wish
from armchair.serve.page.layout import PICTURE_TABS, SLOTS, Layout
from armchair.serve.page.shown import HIDDEN, TABS, progress, settings, wrong
from armchair.serve.page.talk import wire_chat
from armchair.serve.page.words import Words

ALBUM = 200  # pictures of one visit that are remembered
OPERATIONS = {tab: operation for operation, tab in TABS.items()}

TO_BRUSH = "(picture) => { window.armchairBrush.show(picture && picture.url); return [] }"
UP = "(...values) => { window.scrollTo({ top: 0, behavior: 'smooth' }); return values.slice(0, 1) }"
PAINTED = "(...values) => [...values.slice(0, {count} - 1), window.armchairBrush.mask()]"

Make = Callable[..., Awaitable[list[Wish]]]
Updates = dict[Any, Any]  # components -> what they show now


class Clicks:
    """Wires a layout. owner: whose request it is, by the key that was given at the door"""

    def __init__(self, gr: Any, layout: Layout, desk: Desk, words: Words, owner: Callable[[Any], str]):
        self.gr, self.page, self.desk, self.words, self.owner = gr, layout, desk, words, owner
        page = layout
        self.common = [
            page.album,
            page.n,
            page.seed,
            page.size,
            page.steps,
            page.guidance,
            page.rerank,
            page.more,
        ]
        self.outputs = [
            page.progress, *page.slots, page.album, page.gallery, page.earlier, page.beside, page.picked,
            page.picture, page.table, page.detail, page.stop, page.blended, page.frame, page.mix,
            page.frames_drawn,
        ]  # fmt: skip
        self.running: list[Any] = []
        self.wire_drawing()
        self.wire_choosing()
        self.wire_onward()
        self.wire_words()
        self.running += wire_chat(self)
        page.stop.click(None, None, None, cancels=self.running, **HIDDEN)
        page.stop.click(lambda: self.gr.update(visible=False), None, page.stop, **HIDDEN)

    # -- drawing

    def wire_drawing(self) -> None:
        page = self.page
        draw = [page.prompt, page.models, page.expand]
        self.drawing(page.go["draw"].click, self.make_draw, draw)
        self.drawing(page.prompt.submit, self.make_draw, draw)
        fields = {
            "vary": [page.vary_picture],
            "inpaint": [page.inpaint_picture, page.inpaint_prompt, page.mask],
            "outpaint": [page.outpaint_picture, page.outpaint_prompt, page.outpaint_size, page.anchor],
            "blend": [page.blend_a, page.blend_b, page.blend_frames],
            "diff": [page.diff_picture, page.source, page.target, page.diff_frames],
            "complete": [page.complete_picture, page.complete_prompt, page.keep_rows],
        }
        for tab, own in fields.items():
            make = getattr(self, f"make_{tab}")
            self.drawing(
                page.go[tab].click, make, [page.model[tab], *own], PAINTED if tab == "inpaint" else None
            )
        page.inpaint_picture.change(None, page.inpaint_picture, None, js=TO_BRUSH)
        self.drawing(page.onward["vary"].click, self.make_vary_picked, [page.model["vary"], page.picked])

    def drawing(self, event: Any, make: Make, own: Sequence[Any], js: str | None = None) -> None:
        """event: what starts it; make: the wishes, from the common settings and what `own` components hold
        js: what the browser does with these before they are sent
        """
        inputs, page = [*self.common, *own], self.page

        async def click(request: Any, *values: Any) -> AsyncGenerator[Updates]:
            album, *common = values[: len(self.common)]
            wishes: list[Wish] = []
            async with self.telling() as said:
                wishes = await make(self.values(*common), *values[len(self.common) :])
            if said:
                yield {page.progress: wrong(said[0])}
                return
            async for states in self.desk.draw(wishes, self.owner(request), self.words):
                yield self.show(states, album)

        self.running.append(
            event(
                self.typed(click), inputs, self.outputs, concurrency_limit=None, trigger_mode="multiple",
                js=None if js is None else js.format(count=len(inputs)), **HIDDEN,
            )
        )  # fmt: skip

    def show(self, states: list[Progress], album: list[dict[str, Any]]) -> Updates:
        """The page as it is now; at the end the pictures are in the album, the first one chosen."""
        page, gr = self.page, self.gr
        over = all(state.seconds is not None for state in states)
        found: Updates = {page.progress: progress(states, self.words), page.stop: gr.update(visible=not over)}
        for number, slot in enumerate(page.slots):
            drawn = states[number].drawn if number < len(states) else []
            label = states[number].wish.model if drawn else ""
            columns = 4 if len(states) == 1 else 2
            found[slot] = gr.update(visible=bool(drawn), value=files(drawn), label=label, columns=columns)
        if not over:
            return found
        beside = [state.drawn for state in states]
        new = [shot for drawn in beside for shot in drawn]
        album = [*new, *album][:ALBUM]
        found |= {page.album: album, page.gallery: files(album), page.beside: beside}
        found[page.earlier] = gr.update(visible=bool(album))
        if new:
            found |= self.choose(new[0])
        if states[0].wish.operation == "interpolate" and new:
            middle = len(new) // 2
            found |= {
                page.blended: gr.update(visible=True),
                page.frames_drawn: new,
                page.frame: new[middle]["file"],
                page.mix: gr.update(maximum=len(new) - 1, value=middle),
            }
        return found

    def values(
        self, n: Any, seed: Any, size: Any, steps: Any, guidance: Any, rerank: Any, more: str
    ) -> dict[str, Any]:
        """The common settings by the names of the HTTP API. Raises ApiError."""
        return {
            "n": n, "seed": seed, "size": size, "steps": steps, "guidance": guidance, "rerank": rerank,
            **self.options(more),
        }  # fmt: skip

    def options(self, text: str) -> dict[str, str]:
        """ "temperature=0.9, top_k=64" """
        found: dict[str, str] = {}
        for entry in filter(None, (part.strip() for part in text.replace("\n", ",").split(","))):
            name, equals, value = (part.strip() for part in entry.partition("="))
            if not equals or not name or not value:
                raise errors.bad(self.words("need_option", text=entry[:40]))
            found[name] = value
        return found

    async def make_draw(
        self, values: dict[str, Any], prompt: str, models: list[str], expand: bool
    ) -> list[Wish]:
        if not models:
            raise errors.bad(self.words("need_model"))
        if len(models) > SLOTS:
            raise errors.bad(self.words("most_models", most=SLOTS))
        self.need(prompt)
        values["expand"] = "builtin" if expand else None
        return [Wish(model=name, operation="generate", prompt=prompt, values=values) for name in models]

    async def make_vary(self, values: dict[str, Any], model: str, file: str | None) -> list[Wish]:
        return [self.wish("vary", model, values, pictures=(await self.load(file),))]

    async def make_vary_picked(
        self, values: dict[str, Any], model: str, shot: dict[str, Any] | None
    ) -> list[Wish]:
        return await self.make_vary(values, model, None if shot is None else shot["file"])

    async def make_inpaint(
        self,
        values: dict[str, Any],
        model: str,
        file: str | None,
        prompt: str,
        mask: str,
    ) -> list[Wish]:
        picture = await self.load(file)
        self.need(prompt)
        head, _, data = mask.partition("base64,")
        if not head or not data:
            raise errors.bad(self.words("need_mask"))
        painted = mask_of(await self.desk.decode(base64.b64decode(data)), picture.size)
        return [self.wish("inpaint", model, values, prompt, pictures=(picture, painted))]

    async def make_outpaint(
        self, values: dict[str, Any], model: str, file: str | None, prompt: str, size: str, anchor: str
    ) -> list[Wish]:
        picture = await self.load(file)
        self.need(prompt)
        values = {**values, "size": size}
        return [self.wish("outpaint", model, values, prompt, {"anchor": anchor}, (picture,))]

    async def make_blend(
        self, values: dict[str, Any], model: str, a: str | None, b: str | None, frames: int
    ) -> list[Wish]:
        pictures = (await self.load(a), await self.load(b))
        return [self.wish("blend", model, values, "", {"frames": int(frames)}, pictures)]

    async def make_diff(
        self, values: dict[str, Any], model: str, file: str | None, source: str, target: str, frames: int
    ) -> list[Wish]:
        picture = await self.load(file)
        self.need(source)
        self.need(target)
        extras = {"source": source, "target": target, "frames": int(frames)}
        return [self.wish("diff", model, values, "", extras, (picture,))]

    async def make_complete(
        self, values: dict[str, Any], model: str, file: str | None, prompt: str, rows: int
    ) -> list[Wish]:
        picture = await self.load(file)
        self.need(prompt)
        return [self.wish("complete", model, values, prompt, {"keep_rows": int(rows) or None}, (picture,))]

    def wish(
        self,
        tab: str,
        model: str,
        values: dict[str, Any],
        prompt: str = "",
        extras: Mapping[str, Any] | None = None,
        pictures: tuple[Pixels, ...] = (),
    ) -> Wish:
        if not model:
            raise errors.bad(self.words("need_model"))
        values = {name: value for name, value in values.items() if name not in {"rerank", "expand"}}
        return Wish(
            model=model,
            operation=OPERATIONS[tab],
            prompt=prompt,
            values=values,
            extras={} if extras is None else extras,
            pictures=pictures,
        )

    async def load(self, file: str | None) -> Pixels:
        if file is None:
            raise errors.bad(self.words("need_picture"))
        data = self.desk.bytes_of(file)
        if data is None:
            raise errors.bad(self.words("gone"))
        return await self.desk.decode(data)

    def need(self, prompt: str) -> None:
        if not prompt.strip():
            raise errors.bad(self.words("need_prompt"))

    # -- the chosen picture

    def choose(self, shot: dict[str, Any]) -> Updates:
        page = self.page
        return {
            page.picked: shot,
            page.picture: shot["file"],
            page.table: settings(shot, self.words),
            page.detail: self.gr.update(visible=True),
        }

    def wire_choosing(self) -> None:
        page = self.page
        outputs = [page.picked, page.picture, page.table, page.detail]

        def choose(event: Any, shots: list[dict[str, Any]]) -> Updates:
            index: int = event.index
            return self.choose(shots[index])

        choose.__annotations__["event"] = self.gr.SelectData
        page.gallery.select(choose, page.album, outputs, **HIDDEN)
        for number, slot in enumerate(page.slots):

            def choose_beside(
                event: Any, beside: list[list[dict[str, Any]]], number: int = number
            ) -> Updates:
                index: int = event.index
                return self.choose(beside[number][index])

            choose_beside.__annotations__["event"] = self.gr.SelectData
            slot.select(choose_beside, page.beside, outputs, **HIDDEN)

        def frame(number: int, drawn: list[dict[str, Any]]) -> str | None:
            return drawn[int(number)]["file"] if int(number) < len(drawn) else None

        page.mix.change(
            frame, [page.mix, page.frames_drawn], page.frame, trigger_mode="always_last", **HIDDEN
        )

    # -- from the chosen picture into a tab

    def wire_onward(self) -> None:
        page, gr = self.page, self.gr
        places = {
            "inpaint": (page.inpaint_picture, page.inpaint_prompt),
            "outpaint": (page.outpaint_picture, page.outpaint_prompt),
            "blend_a": (page.blend_a, None),
            "blend_b": (page.blend_b, None),
            "diff": (page.diff_picture, page.source),
            "complete": (page.complete_picture, page.complete_prompt),
            "describe": (page.describe_picture, None),
        }
        for name, (place, text) in places.items():
            tab = name.removesuffix("_a").removesuffix("_b")

            def move(shot: dict[str, Any], tab: str = tab, place: Any = place, text: Any = text) -> Updates:
                found = {page.tabs: gr.update(selected=tab), place: shot["file"]}
                return found if text is None else {**found, text: shot["prompt"]}

            outputs = [page.tabs, place] if text is None else [page.tabs, place, text]
            page.onward[name].click(move, page.picked, outputs, js=UP, **HIDDEN)
        again = [
            page.tabs,
            page.prompt,
            page.models,
            page.seed,
            page.size,
            page.steps,
            page.guidance,
            page.more,
        ]
        texts = [page.inpaint_prompt, page.outpaint_prompt, page.complete_prompt, page.source, page.target]
        page.use_again.click(self.again, [page.picked, page.models], [*again, page.more, *texts], **HIDDEN)

    def again(self, shot: dict[str, Any], models: list[str]) -> Updates:
        """Fill in what a picture was drawn with."""
        page, tab = self.page, TABS[shot["operation"]]
        options = {name: value for name, value in shot["options"].items() if value is not None}
        steps, guidance = (str(options.pop(name, "")) for name in ("steps", "guidance"))
        more = ", ".join(f"{name}={value}" for name, value in options.items() if name not in shot["extras"])
        found: Updates = {
            page.tabs: self.gr.update(selected=tab),
            page.seed: str(shot["seed"]),
            page.size: shot["size"],
            page.steps: steps,
            page.guidance: guidance,
            page.more: more,
        }
        if tab == "draw":
            found[page.models] = models if shot["model"] in models else [shot["model"]]
            found[page.prompt] = shot["prompt"]
        elif tab == "diff":
            found |= {page.source: shot["extras"]["source"], page.target: shot["extras"]["target"]}
        elif tab in {"inpaint", "outpaint", "complete"}:
            found[getattr(page, f"{tab}_prompt")] = shot["prompt"]
        return found

    # -- words

    def wire_words(self) -> None:
        page = self.page

        async def describe(request: Any, file: str | None, long: bool) -> str:
            async with self.telling():
                extras = {"long": long, "language": self.words.language}
                answer = await self.desk.say("caption", extras, (await self.load(file),), self.owner(request))
                return answer["text"]
            return self.gr.skip()

        async def expand(request: Any, prompt: str) -> str:
            async with self.telling():
                self.need(prompt)
                extras = {"prompt": prompt, "writer": "builtin"}
                answer = await self.desk.say("expand", extras, (), self.owner(request))
                return answer["text"]
            return self.gr.skip()

        asked = [page.describe_picture, page.long]
        page.go["describe"].click(
            self.typed(describe), asked, page.description, concurrency_limit=None, **HIDDEN
        )
        page.expand_now.click(self.typed(expand), page.prompt, page.prompt, concurrency_limit=None, **HIDDEN)

    # -- what the models can do

    async def refresh(self, models: list[str]) -> AsyncGenerator[Updates]:
        """What is installed, once it is loaded. models: those that are ticked"""
        pool = self.desk.service.pool
        while not pool.models:
            text = self.words("no_model" if pool.hopeless else "loading")
            yield {self.page.ready: f'<p class="quiet">{text}</p>'}
            await asyncio.sleep(1)
        yield self.installed(models)

    def installed(self, models: list[str]) -> Updates:
        page, gr, desk, words = self.page, self.gr, self.desk, self.words
        names = desk.able("generate")
        says = desk.service.pool.words
        sizes = [(words("own_size"), ""), *((size, size) for size in desk.sizes())]
        ticked = [name for name in models if name in names]
        found: Updates = {
            page.ready: f'<p class="quiet" data-ready>{words("ready", models=", ".join(desk.every()))}</p>',
            page.models: gr.update(choices=names, value=ticked if ticked else names[:1]),
            page.size: gr.update(choices=sizes),
            page.tab["draw"]: gr.update(visible=bool(names)),
            page.tab["describe"]: gr.update(visible="caption" in says),
            page.onward["describe"]: gr.update(visible="caption" in says),
            page.tab["talk"]: gr.update(visible="chat" in says and bool(names)),
            page.model["talk"]: gr.update(choices=names, value=names[-1] if names else None),
            page.writer: gr.update(visible="expand" in says),
        }
        for tab in PICTURE_TABS:
            able = desk.able(OPERATIONS[tab])
            found[page.tab[tab]] = gr.update(visible=bool(able))
            found[page.model[tab]] = gr.update(
                choices=able, value=able[0] if able else None, visible=len(able) > 1
            )
            for name in (tab, f"{tab}_a", f"{tab}_b"):
                if name in page.onward:
                    found[page.onward[name]] = gr.update(visible=bool(able))
        wide = desk.sizes("outpaint")
        found[page.outpaint_size] = gr.update(choices=wide, value=wide[-1] if wide else None)
        return found

    @property
    def refreshed(self) -> list[Any]:
        """The components of `refresh`."""
        page = self.page
        tabs = [page.tab[name] for name in ("draw", "describe", "talk", *PICTURE_TABS)]
        models = [page.model[name] for name in ("talk", *PICTURE_TABS)]
        return [
            page.ready, page.models, page.size, page.outpaint_size, page.writer,
            *tabs, *models, *page.onward.values(),
        ]  # fmt: skip

    def typed(self, click: Any) -> Any:
        """Gradio hands the request to the argument that is annotated so."""
        click.__annotations__["request"] = self.gr.Request
        return click

    @contextlib.asynccontextmanager
    async def telling(self) -> AsyncGenerator[list[str]]:
        """What goes wrong is said on the page, and put into the list; our own faults only the log tells."""
        said: list[str] = []
        try:
            yield said
        except ApiError as error:
            said.append(error.message)
        except Exception as error:
            self.desk.service.log("the page failed", error=f"{type(error).__name__}: {error}")
            said.append(self.words("fault"))
        for text in said:
            self.gr.Warning(escape(text), duration=8, title=self.words("notes"))


def files(shots: Sequence[Mapping[str, Any]]) -> list[str]:
    return [shot["file"] for shot in shots]


def mask_of(layer: Pixels, size: Size) -> Pixels:
    """What was painted, as a grey mask of a size: white where anything of it was touched."""
    width, height = layer.size
    if layer.mode != "RGBA":  # nothing of it is transparent: all of it was painted
        return Pixels(size, "L", b"\xff" * (size.width * size.height))
    alpha = layer.data[3::4].translate(bytes(1) + b"\xff" * 255)
    if layer.size == size:
        return Pixels(size, "L", alpha)
    columns = [(x * width // size.width, max(x * width // size.width + 1, (x + 1) * width // size.width))
               for x in range(size.width)]  # fmt: skip
    found = bytearray()
    for y in range(size.height):
        top = y * height // size.height
        below = max(top + 1, (y + 1) * height // size.height)
        rows = [alpha[row * width : (row + 1) * width] for row in range(top, below)]
        touched = rows[0] if len(rows) == 1 else bytes(map(max, *rows))
        found += bytes(255 if 255 in touched[left:right] else 0 for left, right in columns)
    return Pixels(size, "L", bytes(found))
