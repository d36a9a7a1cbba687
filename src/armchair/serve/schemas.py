"""The OpenAPI description of what the routes read and answer, from the same tables that they check by."""

from __future__ import annotations

from typing import Any

from armchair.serve.dialects import DALLE2, DALLE3, GPT_IMAGE, KNOWN_SIZES, OWN
from armchair.serve.fields import ROLES

Schema = dict[str, Any]


def text(longest: int | None = None, *, null: bool = True, about: str = "", **more: Any) -> Schema:
    found: Schema = {"type": ["string", "null"] if null else "string", "description": about, **more}
    return found if longest is None else {**found, "maxLength": longest}


def whole(least: int, most: int, about: str = "") -> Schema:
    return {"type": ["integer", "null"], "minimum": least, "maximum": most, "description": about}


def choice(*options: str, about: str = "") -> Schema:
    return {"enum": [*options, None], "description": about}


NUMBER: Schema = {"type": ["number", "null"]}
FLAG: Schema = {"type": ["boolean", "null"]}
PICTURE: Schema = {
    "type": "string",
    "format": "binary",
    "description": "PNG; JPEG and WebP by our own models",
}
QUALITIES = tuple(dict.fromkeys([*OWN.qualities, *GPT_IMAGE.qualities, *DALLE3.qualities]))

PROMPT = text(OWN.prompt, null=False, minLength=1, about="1000, 4000 or 32000 characters by OpenAI's names")
MODEL = text(200, about="A name of /v1/models")
ANSWER: Schema = {
    "response_format": choice("url", "b64_json", about="A url lives an hour"),
    "output_format": choice("png", "jpeg", "webp"),
    "output_compression": whole(0, 100, "Of jpeg and webp"),
}
STREAM: Schema = {"stream": FLAG, "partial_images": whole(0, 3, "Previews of each picture, with stream")}
EXTENSIONS: Schema = {
    "seed": whole(0, 2**63 - 2, "Of the first picture, the next ones count up; the reply tells"),
    "steps": NUMBER,
    "guidance": NUMBER,
    "rerank": whole(1, 64, "Draw so many for each picture and keep the one that fits best"),
    "expand": choice("off", "builtin", about="Write the prompt out before it is drawn"),
}
COUNT = whole(1, OWN.n, f"At most {DALLE2.n} by OpenAI's names")
SHARED: Schema = {
    "model": MODEL,
    "n": COUNT,
    "size": {"type": ["string", "null"], "examples": list(KNOWN_SIZES)},
    "user": text(1000, null=False, about="Read and left unused"),
}
GENERATION: Schema = {
    "prompt": PROMPT,
    **SHARED,
    "quality": choice(*QUALITIES),
    "style": choice(*DALLE3.styles),
    "background": choice("opaque", "auto", about="gpt-image names"),
    "moderation": choice("low", "auto", about="gpt-image names"),
    **ANSWER,
    **STREAM,
    **EXTENSIONS,
}
EDIT: Schema = {
    "image": PICTURE,
    "mask": {**PICTURE, "description": "As large as the picture; alpha 0 is painted anew"},
    "prompt": PROMPT,
    **SHARED,
    "quality": choice(*QUALITIES),
    "background": choice("opaque", "auto", about="gpt-image names"),
    "input_fidelity": choice("low", "high", about="gpt-image names"),
    **ANSWER,
    **STREAM,
    **EXTENSIONS,
}
OWN_SHARED: Schema = {"model": MODEL, "size": SHARED["size"], **ANSWER, **EXTENSIONS}


def body(kind: str, fields: Schema, *required: str) -> Schema:
    schema: Schema = {
        "type": "object",
        "properties": fields,
        "required": list(required),
        "additionalProperties": True,
    }
    return {"requestBody": {"required": True, "content": {kind: {"schema": schema}}}}


def reply(schema: Schema, kind: str = "application/json", about: str = "") -> dict[int | str, Schema]:
    error = {"description": "What is wrong", "content": {"application/json": {"schema": ERROR}}}
    good = {"description": about if about else "Done", "content": {kind: {"schema": schema}}}
    return {200: good, "4XX": error, "5XX": error}


FORM, JSON = "multipart/form-data", "application/json"
ERROR: Schema = {
    "type": "object",
    "required": ["error"],
    "properties": {
        "error": {
            "type": "object",
            "required": ["message", "type", "param", "code"],
            "properties": {
                "message": {"type": "string"},
                "type": {"type": "string"},
                "param": {"type": ["string", "null"]},
                "code": {"type": ["string", "null"]},
            },
        }
    },
}

GENERATIONS = body(JSON, GENERATION, "prompt")
EDITS = body(FORM, EDIT, "image", "prompt")
VARIATIONS = body(FORM, {"image": PICTURE, **SHARED, **ANSWER, **EXTENSIONS}, "image")
ROWS = whole(1, 4096, "Rows of codes that stay")
COMPLETE = body(
    FORM,
    {"image": PICTURE, "prompt": PROMPT, "n": COUNT, "keep_rows": ROWS, **OWN_SHARED},
    "image",
    "prompt",
)
OUTPAINT = body(
    FORM,
    {"image": PICTURE, "prompt": PROMPT, "n": COUNT, "anchor": text(20), **OWN_SHARED},
    "image",
    "prompt",
    "size",
)
BLEND = body(
    FORM, {"image_a": PICTURE, "image_b": PICTURE, "frames": whole(2, 16), **OWN_SHARED}, "image_a", "image_b"
)
TEXTDIFF = body(
    FORM,
    {"image": PICTURE, "source": PROMPT, "target": PROMPT, "frames": whole(1, 16), **OWN_SHARED},
    "image",
    "source",
    "target",
)
CAPTION = body(FORM, {"image": PICTURE, "long": FLAG, "language": choice("en", "ko")}, "image")
EXPAND = body(JSON, {"prompt": PROMPT}, "prompt")
SCORED = {"image": {**PICTURE, "description": "Several as image[]"}, "prompt": PROMPT}  # several as prompt[]
SCORE = body(FORM, SCORED, "image", "prompt")
MESSAGE: Schema = {
    "type": "object",
    "required": ["role", "content"],
    "properties": {"role": {"enum": list(ROLES)}, "content": text(OWN.prompt, null=False)},
}
MESSAGES: Schema = {"type": "array", "minItems": 1, "items": MESSAGE, "description": "One must be a user's"}
CHAT = body(JSON, {"messages": MESSAGES, "n": COUNT, **OWN_SHARED}, "messages")

IMAGE: Schema = {
    "type": "object",
    "properties": {
        "url": {"type": "string"},
        "b64_json": {"type": "string"},
        "revised_prompt": {"type": "string"},
        "seed": {"type": "integer"},
        "bundle": {"type": ["string", "null"]},
        "drawn_size": {
            "type": "string",
            "description": "Where the model draws another size than was asked for",
        },
    },
}
IMAGES = reply(
    {
        "type": "object",
        "required": ["created", "data"],
        "properties": {
            "created": {"type": "integer"},
            "data": {"type": "array", "items": IMAGE},
            "notes": {"type": "array", "items": {"type": "string"}},
        },
    },
    about="Pictures; with stream=true an event stream instead",
)
IMAGES[200]["content"]["text/event-stream"] = {"schema": {"type": "string"}}
TEXT = reply({"type": "object", "properties": {"text": {"type": "string"}}})
SCORES = reply({"type": "object", "properties": {"scores": {"type": "array"}}})
MODEL_ENTRY: Schema = {
    "type": "object",
    "required": ["id", "object", "created", "owned_by"],
    "properties": {
        "id": {"type": "string"},
        "object": {"const": "model"},
        "created": {"type": "integer"},
        "owned_by": {"type": "string"},
    },
}
ONE_MODEL = reply(MODEL_ENTRY)
MODELS = reply(
    {
        "type": "object",
        "required": ["object", "data"],
        "properties": {"object": {"const": "list"}, "data": {"type": "array", "items": MODEL_ENTRY}},
    }
)
STANDING = reply(
    {
        "type": "object",
        "required": ["state", "position", "eta_seconds"],
        "properties": {
            "state": {"enum": ["waiting", "drawing"]},
            "position": {"type": "integer"},
            "eta_seconds": {"type": "number"},
        },
    }
)
QUEUE = reply(
    {
        "type": "object",
        "required": ["waiting", "drawing", "workers", "wait_seconds"],
        "properties": {
            "waiting": {"type": "integer"},
            "drawing": {"type": "integer"},
            "workers": {"type": "integer"},
            "wait_seconds": {"type": "number"},
        },
    }
)
HEALTH = reply({"type": "object", "required": ["status"], "properties": {"status": {"type": "string"}}})
FILE = reply({"type": "string", "format": "binary"}, "image/png", "The picture")
NUMBERS = reply({"type": "string"}, "text/plain", "Prometheus' text format")
