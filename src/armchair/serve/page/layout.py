"""What is seen at /ui: components and where they stand. What they do is in `clicks`.

`gr` is the module gradio, which `door` imports when a page is built.
"""

from __future__ import annotations

from typing import Any

from armchair.serve.page.shown import TABS, settings
from armchair.serve.page.words import LANGUAGES, Words

SLOTS = 4  # models that are drawn side by side
ANCHORS = (
    ("↖", "top-left"), ("↑", "top"), ("↗", "top-right"),
    ("←", "left"), ("·", "center"), ("→", "right"),
    ("↙", "bottom-left"), ("↓", "bottom"), ("↘", "bottom-right"),
)  # fmt: skip
ONWARD = ("vary", "inpaint", "outpaint", "blend_a", "blend_b", "diff", "complete", "describe")
BRUSH = (
    '<div class="sheet" hidden><img alt=""><canvas></canvas></div><div class="tools"><label>{size} '
    '<input type="range" min="4" max="120" value="40"></label><button type="button">{clear}</button></div>'
)
FONTS = (
    "system-ui",
    "-apple-system",
    "Segoe UI",
    "Noto Sans KR",
    "Apple SD Gothic Neo",
    "Malgun Gothic",
    "sans-serif",
)
CSS = """
footer { display: none !important }
/* without a width it is as narrow as what it shows, and jumps when pictures come */
.gradio-container { width: 100% !important; max-width: 1200px !important; margin: auto;
  padding: 0 !important }
.gradio-container .app { padding: 8px clamp(8px, 2.5vw, 32px) !important }
#ready .html-container { padding-block: 0 !important }
.top { display: flex; flex-wrap: wrap; gap: 4px 16px; align-items: baseline }
.top h1 { margin: 0; font-size: 1.5rem }
.top nav { margin-left: auto }
.quiet { opacity: .7; font-size: .9rem; overflow-wrap: anywhere; margin: 2px 0 }
.wrong { color: #b3261e; font-weight: 600; overflow-wrap: anywhere }
.dark .wrong { color: #ffb4ab }
.cards { display: grid; gap: 12px; grid-template-columns: repeat(auto-fit, minmax(min(240px, 100%), 1fr)) }
.previews { display: flex; flex-wrap: wrap; gap: 6px; margin-top: 6px }
.previews img, .previews .blank { width: 96px; height: 96px; object-fit: contain; margin: 0;
  background: #8883; border-radius: 6px }
table.settings { width: 100%; font-size: .9rem; margin: 0 }
table.settings, table.settings tr { border: 0 !important }
table.settings :is(th, td) { border: 0 !important; padding: 1px 12px 1px 0 !important; text-align: left;
  vertical-align: top; overflow-wrap: anywhere }
table.settings th { font-weight: 500; opacity: .7; white-space: nowrap; width: 1% }
@media (max-width: 640px) {
  .drawn .grid-container { grid-template-columns: repeat(2, minmax(0, 1fr)) !important }
  #gallery .grid-container { grid-template-columns: repeat(4, minmax(0, 1fr)) !important }
}
/* the last turn stays in sight: what runs from the bottom up is scrolled to its bottom */
.turns { display: flex; flex-direction: column-reverse; max-height: max(24rem, 55vh); overflow-y: auto }
.turn { max-width: 80%; width: fit-content; padding: 6px 12px; margin: 6px 0; border-radius: 10px;
  background: #8882; overflow-wrap: anywhere }
.turn.user { margin-left: auto; background: #6366f133 }
.turn img { width: 256px; max-width: 100%; margin: 4px 0; border-radius: 6px }
.drawn .grid-wrap { min-height: 0 !important; max-height: none !important }
#brush .sheet { position: relative; touch-action: none; max-width: 560px }
#brush .sheet img { width: 100%; display: block; margin: 0 }
#brush .sheet canvas { position: absolute; inset: 0; width: 100%; height: 100%; opacity: .6;
  cursor: crosshair; touch-action: none }
#brush .tools { display: flex; gap: 16px; align-items: center; margin-top: 6px; font-size: .9rem }
#brush .tools button { text-decoration: underline; font-size: .9rem; white-space: nowrap }
:is(#chosen, #tabs) .image-frame img { width: 100%; height: 100%; object-fit: contain }
#anchor .wrap { display: grid; grid-template-columns: repeat(3, max-content) }
.tries { flex-wrap: wrap !important }
.tries button { flex: 0 1 auto !important; min-width: fit-content !important }
"""


class Layout:
    """The components of a page, built within a `gr.Blocks`."""

    def __init__(self, gr: Any, words: Words):
        self.gr, self.words = gr, words
        self.album = gr.State([])  # every picture of this visit, the newest first
        self.beside = gr.State([])  # those of the last run, a list a model
        self.picked = gr.State(None)  # the chosen one
        self.frames_drawn = gr.State([])  # of the last blend
        self.talk = gr.State([])  # what the person said
        self.turns = gr.State([])  # (who, text, a picture's file or None), as they are shown
        self.top()
        self.ready = gr.HTML(f'<p class="quiet">{words("loading")}</p>', elem_id="ready")
        with gr.Tabs(elem_id="tabs", overflow_behavior="wrap") as self.tabs:
            self.tab: dict[str, Any] = {}
            self.model: dict[str, Any] = {}  # tab -> who draws it
            self.go: dict[str, Any] = {}  # tab -> its button
            self.draw_tab()
            self.picture_tabs()
            self.words_tab()
            self.chat_tab()
        self.settings()
        self.results()
        self.chosen()
        with gr.Accordion(words("gallery"), open=True, visible=False) as self.earlier:
            self.gallery = gr.Gallery(
                label=words("gallery"), show_label=False, columns=8, height="auto", allow_preview=False,
                fit_columns=False, object_fit="contain", elem_id="gallery", elem_classes="drawn",
                interactive=False, buttons=[],
            )  # fmt: skip

    def top(self) -> None:
        words = self.words
        links = " · ".join(
            f"<b>{name}</b>"
            if code == words.language
            else f'<a href="../{code}/" hreflang="{code}">{name}</a>'
            for code, name in LANGUAGES.items()
        )
        lead = f'<h1>Armchair</h1><span class="quiet">{words("lead")}</span><nav>{links}</nav>'
        self.gr.HTML(f'<div class="top" lang="{words.language}">{lead}</div>')

    def draw_tab(self) -> None:
        gr, words = self.gr, self.words
        with self._tab("draw", visible=True):
            with gr.Row(equal_height=True):
                self.prompt = self._text("prompt", "prompt_hint", lines=2, scale=4, elem_id="prompt")
                self._button("draw", scale=1, min_width=120)
            with gr.Row():
                self.models = gr.CheckboxGroup([], label=words("models"), elem_id="models", scale=3)
                with gr.Column(scale=1, min_width=200, visible=False) as self.writer:
                    self.expand = gr.Checkbox(False, label=words("expand"))
                    self.expand_now = gr.Button(words("expand_now"), size="sm")

    def picture_tabs(self) -> None:
        gr, words = self.gr, self.words
        with self._tab("vary"), gr.Row():
            self.vary_picture = self._picture("picture")
            with gr.Column():
                self._models("vary")
                self._button("vary")
        with self._tab("inpaint"), gr.Row():
            with gr.Column(scale=2):
                self.brush = gr.HTML(BRUSH.format(clear=words("clear"), size=words("brush")), elem_id="brush")
                self.mask = gr.Textbox("", visible=False)  # a data URL, filled in as the button is pressed
            with gr.Column():
                self.inpaint_picture = self._picture("picture")
                self.inpaint_prompt = self._text("prompt", "whole_hint", lines=2)
                self._models("inpaint")
                self._button("inpaint")
        with self._tab("outpaint"), gr.Row():
            self.outpaint_picture = self._picture("picture")
            with gr.Column():
                self.outpaint_prompt = self._text("prompt", "whole_hint", lines=2)
                self.outpaint_size = gr.Dropdown([], label=words("canvas"))
                self.anchor = gr.Radio(list(ANCHORS), value="center", label=words("anchor"), elem_id="anchor")
                self._models("outpaint")
                self._button("outpaint")
        with self._tab("blend"):
            with gr.Row():
                self.blend_a, self.blend_b = self._picture("picture_a"), self._picture("picture_b")
                with gr.Column():
                    self.blend_frames = gr.Slider(2, 16, value=7, step=1, label=words("frames"))
                    self._models("blend")
                    self._button("blend")
            with gr.Row(visible=False) as self.blended:
                self.frame = gr.Image(
                    show_label=False,
                    interactive=False,
                    height=260,
                    elem_id="frame",
                    buttons=[],
                    type="filepath",
                )
                self.mix = gr.Slider(0, 6, value=3, step=1, label=words("between"), elem_id="mix", buttons=[])
        with self._tab("diff"), gr.Row():
            self.diff_picture = self._picture("picture")
            with gr.Column():
                self.source, self.target = self._text("source"), self._text("target")
                self.diff_frames = gr.Slider(1, 16, value=5, step=1, label=words("frames"))
                self._models("diff")
                self._button("diff")
        with self._tab("complete"), gr.Row():
            self.complete_picture = self._picture("picture")
            with gr.Column():
                self.complete_prompt = self._text("prompt", "whole_hint", lines=2)
                self.keep_rows = gr.Slider(0, 32, value=0, step=1, label=words("keep_rows"))
                self._models("complete")
                self._button("complete")

    def words_tab(self) -> None:
        gr, words = self.gr, self.words
        with self._tab("describe"), gr.Row():
            self.describe_picture = self._picture("picture")
            with gr.Column():
                self.long = gr.Checkbox(True, label=words("long"))
                self._button("describe")
                self.description = gr.Textbox(label=words("description"), lines=4, interactive=False)

    def chat_tab(self) -> None:
        gr, words = self.gr, self.words
        with self._tab("talk"):
            self.conversation = gr.HTML("", elem_id="conversation")
            with gr.Row(equal_height=True):
                self.message = self._text("message", "message_hint", scale=4, elem_id="message")
                self._button("send", scale=1, min_width=120)
            with gr.Row(equal_height=True):
                self.revised = self._text("revised", lines=3, scale=4, elem_id="revised")
                with gr.Column(scale=1, min_width=120):
                    self._models("talk")
                    self.redraw = gr.Button(words("redraw"), elem_id="redraw")
                    self.new_chat = gr.Button(words("new_chat"), size="sm")

    def settings(self) -> None:
        gr, words = self.gr, self.words
        with gr.Row():
            self.n = gr.Slider(1, 8, value=2, step=1, label=words("n"), min_width=160, buttons=[])
            self.seed = self._text("seed", "seed_hint", min_width=120, elem_id="seed")
            self.size = gr.Dropdown([(words("own_size"), "")], value="", label=words("size"), min_width=140)
        with gr.Accordion(words("settings"), open=False), gr.Row():
            self.steps = self._text("steps", "usual_hint", min_width=140)
            self.guidance = self._text("guidance", "usual_hint", min_width=140)
            self.rerank = self._text("rerank", "off_hint", min_width=140)
            self.more = self._text("more", min_width=240, scale=2)

    def results(self) -> None:
        gr, words = self.gr, self.words
        self.stop = gr.Button(words("stop"), size="sm", visible=False, elem_id="stop")
        self.progress = gr.HTML("", elem_id="progress")
        with gr.Row():
            self.slots = [
                gr.Gallery(
                    visible=False, columns=2, fit_columns=False, height="auto", allow_preview=False,
                    object_fit="contain",
                    elem_id=f"slot{number}", elem_classes="drawn", interactive=False, min_width=240,
                    buttons=[],
                )
                for number in range(SLOTS)
            ]  # fmt: skip

    def chosen(self) -> None:
        gr, words = self.gr, self.words
        with gr.Row(visible=False, elem_id="chosen") as self.detail:
            self.picture = gr.Image(
                label=words("chosen"), interactive=False, height=320, buttons=["download", "fullscreen"],
                type="filepath", min_width=240,
            )  # fmt: skip
            with gr.Column(min_width=280):
                self.table = gr.HTML(settings(None, words), elem_id="settings")
                with gr.Row(elem_classes="tries"):
                    self.use_again = gr.Button(
                        words("use_again"), size="sm", variant="primary", elem_id="again"
                    )
                    self.onward = {
                        name: gr.Button(words(f"to_{name}"), size="sm", visible=False, elem_id=f"to_{name}")
                        for name in ONWARD
                    }

    def _tab(self, name: str, visible: bool = False) -> Any:
        self.tab[name] = self.gr.Tab(self.words(name), id=name, visible=visible, elem_id=f"tab_{name}")
        return self.tab[name]

    def _button(self, name: str, **more: Any) -> None:
        self.go[name] = self.gr.Button(self.words(name), variant="primary", elem_id=f"go_{name}", **more)

    def _models(self, name: str) -> None:
        self.model[name] = self.gr.Dropdown([], label=self.words("model"))

    def _text(self, name: str, hint: str | None = None, lines: int = 1, **more: Any) -> Any:
        hint = "" if hint is None else self.words(hint)
        return self.gr.Textbox("", label=self.words(name), placeholder=hint, lines=lines, **more)

    def _picture(self, name: str) -> Any:
        found = self.gr.Image(
            label=self.words(name), type="filepath", sources=["upload", "clipboard"], height=260, buttons=[],
            min_width=200, placeholder=self.words("upload"),
        )  # fmt: skip
        found.preprocess = _path
        return found


def _path(payload: Any) -> str | None:
    """An upload is handed on as it is: it is decoded where all uploads are."""
    return None if payload is None else payload.path


PICTURE_TABS = [tab for tab in TABS.values() if tab != "draw"]
