"""The fields of OpenAI's routes, model by model: defaults, limits, nulls, the recorded words of refusal."""

from __future__ import annotations

from typing import Any

import pytest

from armchair.serve.calls import Call, read_call
from armchair.serve.canvas import Size, size_to_draw
from armchair.serve.catalog import Catalog
from armchair.serve.dialects import quality_options
from armchair.serve.errors import ApiError
from armchair.serve.fields import Fields, parse_json
from armchair.serve.settings import Settings

ABOUT: dict[str, Any] = {
    "name": "dalle2",
    "operations": ["generate", "inpaint", "variations"],
    "sizes": ["64x64", "256x256"],
    "options": dict.fromkeys(
        ["generate", "inpaint", "variations"], {"steps": 20, "guidance": 4.0, "prior": "diffusion"}
    ),
    "created": 1,
}


def read(route: str = "generations", *, strict: bool = False, form: bool = False, **fields: Any) -> Call:
    about = {"dalle1": {**ABOUT, "name": "dalle1", "operations": ["generate"]}, "dalle2": ABOUT}
    catalog = Catalog(Settings(strict=strict), lambda: about)
    if route != "variations":
        fields = {"prompt": "a cat", **fields}
    return read_call(route, Fields(fields, form=form), catalog)


def refusal(*arguments: Any, **fields: Any) -> ApiError:
    with pytest.raises(ApiError) as refused:
        read(*arguments, **fields)
    return refused.value


def test_defaults():
    """A prompt is enough: one 1024-pixel picture behind a URL, as dall-e-2 drew it."""
    call = read()
    assert (call.target.name, call.target.model, call.n, call.size) == ("dall-e-2", "dalle2", 1, (1024, 1024))
    assert (call.url, call.format, call.stream, call.expand) == (True, "png", False, None)
    assert 0 <= call.seed < 2**31
    assert read(model="dall-e-3").expand == "try"
    own = read(model="dalle1")
    assert (own.size, own.url) == (None, True)
    gpt = read(model="gpt-image-1")
    assert (gpt.url, gpt.size) == (False, (1024, 1024))


def test_null_is_absent_everywhere():
    """Clients send it for every field that a program left out."""
    names = "model n size quality style response_format user background moderation output_format "
    names += "output_compression stream partial_images seed steps guidance rerank expand"
    nulls: dict[str, Any] = dict.fromkeys(names.split())
    call = read(**nulls)
    assert (call.n, call.size, call.url, call.stream) == (1, (1024, 1024), True, False)


def test_an_empty_part_is_absent_and_numbers_are_text_in_a_form():
    """Forms know neither null nor numbers."""
    call = read("edits", form=True, n="2", size="256x256", user="", seed="7", guidance="2.5", stream="false")
    assert (call.n, call.size, call.seed, call.options["guidance"]) == (2, (256, 256), 7, 2.5)
    assert call.stream is False
    assert "not of type 'integer'" in refusal("edits", form=True, n="two").message
    assert "not of type 'boolean'" in refusal("edits", form=True, stream="yes please").message


RECORDED = [  # what OpenAI's API said
    ({"size": "256×256"}, "'256×256' is not one of ['256x256', '512x512', '1024x1024'] - 'size'", None),
    ({"size": ""}, "'' is not one of ['256x256', '512x512', '1024x1024'] - 'size'", None),
    ({"size": 512}, "512 is not one of ['256x256', '512x512', '1024x1024'] - 'size'", None),
    ({"size": "1792x1024"}, "The size is not supported by this model.", "invalid_size"),
    ({"model": "dall-e-3", "size": "512x512"}, "The size is not supported by this model.", "invalid_size"),
    ({"n": 15}, "15 is greater than the maximum of 10 - 'n'", None),
    ({"n": 0}, "0 is less than the minimum of 1 - 'n'", None),
    ({"n": "2"}, "'2' is not of type 'integer' - 'n'", None),
    ({"n": True}, "True is not of type 'integer' - 'n'", None),
    ({"n": 1.5}, "1.5 is not of type 'integer' - 'n'", None),
    (
        {"model": "dall-e-3", "quality": "best"},
        "'best' is not one of ['standard', 'hd', 'auto'] - 'quality'",
        None,
    ),
    ({"response_format": "png"}, "'png' is not one of ['url', 'b64_json'] - 'response_format'", None),
    ({"style": "vivid"}, "Unknown parameter: 'style'.", "unknown_parameter"),
    ({"background": "opaque", "model": "dall-e-2"}, "Unknown parameter: 'background'.", "unknown_parameter"),
    ({"prompt": None}, "'prompt' is a required property", None),
    ({"prompt": ""}, "'' is too short - 'prompt'", None),
    ({"prompt": " \n"}, "'' is too short - 'prompt'", None),
    ({"prompt": 3}, "3 is not of type 'string' - 'prompt'", None),
    ({"prompt": "a\ud800"}, "'prompt' is not valid Unicode text", None),
    (
        {"model": "gpt-image-1", "response_format": "b64_json"},
        "Unknown parameter: 'response_format'.",
        "unknown_parameter",
    ),
    ({"negative_prompt": "x"}, "Unknown parameter: 'negative_prompt'.", "unknown_parameter"),
    ({"partial_images": 2}, "partial_images is for calls with stream=true.", None),
    ({"stream": True, "partial_images": 4}, "4 is greater than the maximum of 3 - 'partial_images'", None),
    ({"stream": 1}, "1 is not of type 'boolean' - 'stream'", None),
    ({"output_compression": 50}, "Compression below 100 is for jpeg and webp.", None),
    ({"output_format": "gif"}, "'gif' is not one of ['png', 'jpeg', 'webp'] - 'output_format'", None),
    ({"seed": -1}, "-1 is less than the minimum of 0 - 'seed'", None),
    ({"seed": 2**63 - 1}, "9223372036854775807 is greater than", None),
    ({"expand": "http://192.0.2.1/"}, "'http://192.0.2.1/' is not one of ['off', 'builtin']", None),
    ({"guidance": [1]}, "[1] is not of type 'number' - 'guidance'", None),
    ({"guidance": float("inf")}, "inf is not of type 'number'", None),
    ({"steps": "many"}, "'many' is not of type 'number' - 'steps'", None),
    ({"steps": True}, "True is not of type 'number' - 'steps'", None),
    ({"prior": 3.5}, "3.5 is not of type 'string' - 'prior'", None),
]


@pytest.mark.parametrize(("fields", "message", "code"), RECORDED)
def test_refusals(fields: dict[str, Any], message: str, code: str | None):
    """Every one is a 400 that names the field; a field that did nothing would be worse."""
    error = refusal(**fields)
    assert (error.status, error.type, error.code) == (400, "invalid_request_error", code)
    assert error.message.startswith(message)


@pytest.mark.parametrize(
    ("model", "longest"), [("dall-e-2", 1000), ("dall-e-3", 4000), ("gpt-image-1", 32000), ("dalle1", 10_000)]
)
def test_prompts_have_the_models_length(model: str, longest: int):
    """Characters, not bytes; and the refusal does not repeat the prompt."""
    assert read(model=model, prompt="가" * longest).prompt == "가" * longest
    error = refusal(model=model, prompt="가" * (longest + 1))
    assert "too long" in error.message
    assert len(error.message) < 200


def test_models():
    """A name nobody knows is 404; one that cannot do it here says who can."""
    error = refusal(model="dall-e-4")
    assert (error.status, error.code) == (404, "model_not_found")
    assert error.message == "The model `dall-e-4` does not exist."
    error = refusal("variations", model="dalle1")
    assert (error.status, error.code) == (400, "unsupported_operation")
    assert "The model `dalle1` cannot make variations here: dalle2 can" in error.message
    assert read("variations", model="dall-e-2").target.model == "dalle2"
    assert read(background="opaque").target.name == "gpt-image-1"  # a field that only those know


def test_no_model_yet_is_a_matter_of_waiting():
    """While the workers load, a call is worth a second try."""
    with pytest.raises(ApiError) as refused:
        read_call("generations", Fields({"prompt": "x"}, form=False), Catalog(Settings(), dict))
    assert refused.value.status == 503


def test_what_no_bundle_can_do():
    """Only dalle1 is installed: drawing works by every name, editing says what it needs."""
    about = {"dalle1": {**ABOUT, "name": "dalle1", "operations": ["generate", "complete"]}}
    catalog = Catalog(Settings(), lambda: about)
    for name in ("dall-e-2", "dall-e-3", "gpt-image-1"):
        assert catalog.target(name, "generate").model == "dalle1"
    with pytest.raises(ApiError) as refused:
        catalog.target("dall-e-2", "inpaint")
    assert "it needs dalle2 or dalle3" in refused.value.message


def test_the_operator_changes_the_table():
    """An alias may point anywhere, and one that is gone is gone."""
    about = {"mine": {**ABOUT, "name": "mine"}, "dalle2": ABOUT}
    catalog = Catalog(Settings(aliases={"dall-e-2": ("mine",), "house": ("dalle2",)}), lambda: about)
    assert catalog.target("dall-e-2", "generate").model == "mine"
    assert catalog.target("house", "generate").model == "dalle2"
    with pytest.raises(ApiError):
        catalog.target("dall-e-3", "generate")
    assert catalog.names() == ["mine", "dalle2", "dall-e-2", "house"]


def test_a_folders_path_stays_private():
    """What `--models DIR` serves is named by its manifest."""
    about = {"/home/ann/runs/a/bundle": {**ABOUT, "name": "ann"}}
    catalog = Catalog(Settings(), lambda: about)
    assert catalog.names()[0] == "ann"
    assert catalog.target("ann", "generate").model == "/home/ann/runs/a/bundle"
    assert "home" not in str([catalog.entry(name) for name in catalog.names()])


def test_strict_refuses_what_openai_refused():
    """Beyond the old limits, beyond the old fields, on the wrong route."""
    assert refusal(strict=True, model="dall-e-3", n=2).message == "You must provide n=1 for this model."
    assert read(model="dall-e-3", n=2).n == 2
    for name in ("seed", "steps", "stream", "output_format", "expand"):
        assert refusal(strict=True, **{name: 1}).code == "unknown_parameter"
    assert "not one of" in refusal(strict=True, size="auto").message
    assert read(size="auto").size == (1024, 1024)
    error = refusal("variations", strict=True, model="dall-e-3")
    assert error.message == "Invalid model dall-e-3. The model argument should be left blank."
    assert refusal("edits", strict=True, model="dall-e-3").message.startswith("Invalid model")
    assert read("edits", strict=True, model="gpt-image-1").target.name == "gpt-image-1"
    assert read(strict=True, model="dalle2", seed=3).seed == 3  # our own names have our own rules


def test_our_own_names_draw_their_own_sizes():
    """No silent 1024: the list, or a refusal that shows it."""
    assert read(model="dalle2", size="256x256").size == (256, 256)
    assert "['64x64', '256x256']" in refusal(model="dalle2", size="1024x1024").message
    assert read(model="dalle2", n=64).n == 64


@pytest.mark.parametrize(
    ("size", "fits"),
    [
        ("1024x1024", True),
        ("3840x2160", True),
        ("2160x3840", True),
        ("1536x512", True),
        ("1600x512", False),  # beyond 3:1
        ("1000x1000", False),  # no multiple of 16
        ("4096x1600", False),
        ("9999x16", False),
    ],
)
def test_free_sizes(size: str, fits: bool):
    """gpt-image-2 takes any size within its limits."""
    if fits:
        assert str(read(model="gpt-image-2", size=size).size) == size
    else:
        refusal(model="gpt-image-2", size=size)


def test_options_reach_the_model():
    """Those of the model that draws, by any name; quality and style are words for them."""
    call = read(model="dall-e-3", quality="hd", style="natural", guidance=2.0, prior="none")
    assert call.options == {"steps": 40, "guidance": 2.0, "prior": "none"}
    assert read(model="dall-e-3", style="natural").options == {"guidance": 3.1}
    assert read(model="gpt-image-1", quality="low").options == {"steps": 10}
    assert quality_options("hd", None, {"temperature": 1.0}) == {"temperature": 0.9}
    assert quality_options("hd", "vivid", {}) == {}


@pytest.mark.parametrize(
    ("wanted", "drawn"),
    [
        (None, "64x64"),
        ((64, 64), "64x64"),
        ((100, 100), "256x256"),
        ((1024, 1024), "256x256"),
        ((1792, 1024), "256x128"),
        ((32, 64), "128x256"),
    ],
)
def test_the_size_that_is_drawn(wanted: tuple[int, int] | None, drawn: str):
    """The nearest shape, then the smallest that is large enough."""
    sizes = ["64x64", "256x256", "256x128", "128x256"]
    assert size_to_draw(sizes, None if wanted is None else Size(*wanted)) == drawn


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"{",
        b"[]",
        b'"x"',
        b"null",
        b"\xff\xfe",
        b'{"n": NaN}',
        b'{"n": Infinity}',
        b"[" * 100_000,
        b'{"a":' * 50_000,
        b'{"n": ' + b"9" * 5000 + b"}",
    ],
    ids=range(11),
)
def test_what_is_no_json_object_is_a_400(body: bytes):
    """Not a 500, whatever the parser thinks of it."""
    with pytest.raises(ApiError) as refused:
        parse_json(body)
    assert refused.value.status == 400
    assert "We could not parse the JSON body of your request." in refused.value.message


def test_a_repeated_name_and_a_huge_number_do_no_harm():
    """JSON that parses and still is odd."""
    fields = Fields(parse_json(b'{"n": 3, "n": 2, "seed": 1e300}'), form=False)
    assert fields.integer("n", 1, 10) == 2
    with pytest.raises(ApiError):
        fields.integer("seed", 0, 10)
