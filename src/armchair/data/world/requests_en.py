"""How people ask for a change of a picture, in English. Only tables live here; `writing.py` fills them in.

Slots: {the} a thing of the picture · {a} another thing, with its colour and count · {c} a colour, {ac} with
its article · {place} where the other thing goes · {rel} {other} a relation to another thing · {number} {many}
a count and its noun · {picture} {manner} {style} the style · {on} {bg} the background · {w} a word.
The last UNSEEN of each row are never trained on, so that a test can tell what was learned from what was kept.
"""

UNSEEN = 2

REQUESTS_EN: dict[str, tuple[str, ...]] = {
    "recolour": (
        "make {the} {c}", "paint {the} {c}", "turn {the} {c}", "{the} should be {c}",
        "change the colour of {the} to {c}", "I want {the} to be {c}", "colour {the} {c}",
        "give {the} {ac} colour", "could {the} be {c}?", "let {the} be {c}",
    ),
    "recolour it": (
        "make it {c}", "it should be {c}", "paint it {c}", "in {c}", "{c}, please", "let it be {c}",
    ),
    "add": (
        "add {a} {place}", "put {a} {place}", "draw {a} {place} too", "there should also be {a} {place}",
        "I also want {a} {place}", "also add {a} {place}", "what about {a} {place} as well?",
        "and now {a} {place}, too",
    ),
    "remove": (
        "remove {the}", "take {the} away", "without {the}", "delete {the}", "leave out {the}",
        "no more {bare}, please", "get rid of {the}", "drop {the}",
    ),
    "restyle": (
        "in {style} style", "draw it {manner}", "make it {picture}", "change the style to {style}",
        "{manner}, please", "I want {picture}", "redo it {manner}", "turn it into {picture}",
    ),
    "background": (
        "put it {on}", "change the background to {bg}", "the background should be {bg}",
        "use {bg} as the background", "with {bg} as the background", "I want it {on}",
        "I would prefer it {on}", "have {bg} as the background",
    ),
    "count": (
        "make it {number} {many}", "I want {number} {many}", "draw {number} {many}",
        "there should be {number} {many}", "{number} {many}, please", "I need {number} {many}",
        "how about {number} {many}?", "let there be {number} {many}",
    ),
    "replace": (
        "replace {the} with {a}", "swap {the} for {a}", "{a} instead of {the}", "change {the} into {a}",
        "turn {the} into {a}", "draw {a} in place of {the}", "exchange {the} for {a}",
        "let {the} become {a}",
    ),
    "move": (
        "{the} should be {rel} {other}", "put {the} {rel} {other}", "I want {the} {rel} {other}",
        "place {the} {rel} {other}", "move {the} so that it is {rel} {other}", "{the} must be {rel} {other}",
        "let {the} be {rel} {other}", "{the} {rel} {other}, please",
    ),
    "sign": (
        'add a sign that says "{w}"', 'put up a sign with the word "{w}"', 'write "{w}" on a sign',
        'there should be a sign saying "{w}"', 'I want a sign that reads "{w}"', 'let a sign say "{w}"',
    ),
    "unsign": (
        "remove the sign", "without the sign", "take the sign away", "no sign, please", "drop the sign",
    ),
}  # fmt: skip

# what a new thing's place is called -> how it lies to the first thing
PLACES_EN: dict[str, tuple[str, ...]] = {
    "left of": ("on the left", "to the left of {other}", "left of {other}", "on its left"),
    "right of": ("on the right", "to the right of {other}", "right of {other}", "on its right"),
    "above": ("above {other}", "above it", "over {other}"),
    "below": ("below {other}", "under {other}", "below it"),
    "": ("",),
}
