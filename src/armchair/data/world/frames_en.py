"""English words of Emoji World: colours, styles, backgrounds, relations, and the frames of whole captions.

Only tables live here; `captions_en.py` fills them in. `captions.known_words` reads every upper-case name.

Slots of a frame: {things} everything in the scene with its colours, counts and relations · {picture} a noun
phrase with the style ("a glossy drawing") · {manner} the style after a verb ("in a glossy style") · {on} the
background after a noun ("on a white background") · {bg} the background after "is" ("plain white") · {where} a
clause on placement · {hue} a clause on colour. A capital letter in the slot capitalises what fills it.
"""

NUMBERS = ("zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine", "ten")

# the first word of each row is the usual one; the rest are rare
COLOURS: dict[str, tuple[str, ...]] = {
    "red": ("red", "crimson", "bright red"),
    "orange": ("orange", "bright orange", "tangerine"),
    "yellow": ("yellow", "bright yellow", "lemon-yellow"),
    "green": ("green", "emerald", "bright green"),
    "blue": ("blue", "azure", "bright blue"),
    "purple": ("purple", "violet", "purple-coloured"),
    "pink": ("pink", "rose-pink", "bright pink"),
    "black": ("black", "jet-black", "all-black"),
}

# words that name a colour: a concept's word with one of them is not used for a thing of another colour
TINTED = frozenset(
    "red orange yellow green blue purple pink black white grey gray brown golden silver".split()
)

# plain backgrounds: adjectives in front of "background"
PLAIN: dict[str, tuple[str, ...]] = {
    "white": ("white", "plain white", "pure white"),
    "grey": ("grey", "gray", "light grey"),
    "cream": ("cream", "cream-coloured", "off-white"),
    "red": ("red", "plain red", "solid red"),
    "orange": ("orange", "plain orange", "solid orange"),
    "yellow": ("yellow", "plain yellow", "solid yellow"),
    "green": ("green", "plain green", "solid green"),
    "blue": ("blue", "plain blue", "solid blue"),
    "purple": ("purple", "plain purple", "solid purple"),
    "pink": ("pink", "plain pink", "solid pink"),
    "black": ("black", "plain black", "solid black"),
}
# as a noun: "the background is plain white"
PLAIN_BG: dict[str, tuple[str, ...]] = {
    "white": ("white", "plain white", "pure white"),
    "grey": ("grey", "plain gray", "light grey"),
    "cream": ("cream", "plain cream", "a cream colour"),
    **{c: (c, f"plain {c}", f"solid {c}") for c in COLOURS},
}
PLAIN_ON = ("on a {}", "on a {}", "on a {}", "against a {}", "with a {}", "in front of a {}")

# places: after a noun ("a cat in the snow"), and as a noun phrase ("the background is ...")
PLACES_ON: dict[str, tuple[str, ...]] = {
    "sky": (
        "in the sky",
        "in a blue sky",
        "against the sky",
        "with a blue sky behind",
        "in front of a sky with clouds",
    ),
    "night": (
        "at night",
        "under a night sky",
        "against the night sky",
        "in the dark of night",
        "under the stars",
    ),
    "sea": ("at sea", "by the sea", "in front of the sea", "with the ocean behind", "at the seaside"),
    "meadow": ("in a meadow", "in a green meadow", "on the grass", "in a grassy field", "on a green meadow"),
    "snow": (
        "in the snow",
        "on the snow",
        "in a snowy landscape",
        "in a field of snow",
        "outside in the snow",
    ),
    "desert": (
        "in the desert",
        "in a sandy desert",
        "on desert sand",
        "in a hot desert",
        "among the dunes of a desert",
    ),
    "space": (
        "in space",
        "in outer space",
        "floating in space",
        "out in space",
        "among the stars of outer space",
    ),
    "room": ("in a room", "indoors", "inside a room", "in a living room", "on the floor of a room"),
}
PLACES_BG: dict[str, tuple[str, ...]] = {
    "sky": ("a blue sky", "a bright sky with clouds", "the open sky", "a daytime sky"),
    "night": ("a night sky", "a dark night sky", "the sky at night", "a starry night"),
    "sea": ("the sea", "the blue ocean", "a calm sea", "open water"),
    "meadow": ("a green meadow", "a grassy meadow", "a field of green grass", "a meadow in daylight"),
    "snow": ("a snowy landscape", "a field of white snow", "snowy ground", "a winter scene with snow"),
    "desert": ("a sandy desert", "the desert", "a dry desert with sand", "yellow desert sand"),
    "space": ("outer space", "dark space with stars", "the blackness of space", "deep space"),
    "room": ("a simple room", "the inside of a room", "a room with a floor and a wall", "an indoor room"),
}

# after "a" or "an": nouns for the whole picture by style
STYLE_PICTURES: dict[str, tuple[str, ...]] = {
    "glossy": (
        "glossy picture",
        "glossy drawing",
        "glossy emoji",
        "shiny icon",
        "glossy illustration",
        "shiny drawing",
    ),
    "soft": (
        "soft picture",
        "soft drawing",
        "soft illustration",
        "softly shaded picture",
        "soft emoji",
        "gentle drawing",
    ),
    "flat": (
        "flat picture",
        "flat drawing",
        "flat illustration",
        "flat icon",
        "flat design picture",
        "flat emoji",
    ),
    "line": (
        "line drawing",
        "line drawing",
        "outline drawing",
        "black outline drawing",
        "simple line drawing",
        "sketch",
    ),
    "sticker": (
        "sticker",
        "sticker",
        "sticker-style drawing",
        "cartoon sticker",
        "sticker picture",
        "sticker illustration",
    ),
}
STYLE_MANNER: dict[str, tuple[str, ...]] = {
    "glossy": (
        "in a glossy style",
        "with a glossy finish",
        "with shiny highlights",
        "in a shiny, glossy style",
    ),
    "soft": ("in a soft style", "with soft shading", "in soft, smooth shapes", "in a gentle, soft style"),
    "flat": ("in a flat style", "in flat colours", "as flat design", "in a flat, simple style"),
    "line": ("as a line drawing", "in line art", "with outlines only", "in thin lines"),
    "sticker": ("as a sticker", "in a sticker style", "like a sticker", "in the style of a cartoon sticker"),
}
STYLE_TAGS: dict[str, tuple[str, ...]] = {
    "glossy": ("glossy", "glossy style", "shiny"),
    "soft": ("soft", "soft style", "soft shading"),
    "flat": ("flat", "flat style", "flat design"),
    "line": ("line drawing", "line art", "outline"),
    "sticker": ("sticker", "sticker style", "sticker"),
}
PICTURES = ("picture", "picture", "drawing", "drawing", "illustration", "image", "emoji", "icon")
PICTURE_TAGS = ("emoji", "icon", "drawing", "picture", "clipart", "illustration")

RELATIONS: dict[str, tuple[str, ...]] = {
    "left of": ("left of", "to the left of", "to the left of", "on the left of", "on the left side of"),
    "right of": ("right of", "to the right of", "to the right of", "on the right of", "on the right side of"),
    "above": ("above", "above", "over", "higher up than", "up above"),
    "below": ("below", "below", "under", "beneath", "underneath"),
    "on": ("on", "on", "on top of", "on top of", "placed on"),
    "in front of": ("in front of",),
    "behind": ("behind",),
}
ANIMATE_ON = ("on", "on", "on top of", "sitting on", "standing on")
# relation -> relation seen from the other thing; "on" has its own wording
INVERSE = {
    "left of": "right of",
    "right of": "left of",
    "above": "below",
    "below": "above",
    "in front of": "behind",
}
ON_INVERSE = "{} with {} on top"
# concepts that one is dressed in
DRESS = frozenset(("dress", "coat", "t-shirt", "jeans"))
VERBS: dict[str, tuple[str, ...]] = {
    "riding": ("riding", "riding", "riding", "riding on", "sitting on"),
    "holding": ("holding", "holding", "holding", "carrying", "holding up"),
    "playing": ("playing", "playing", "playing", "playing"),
    "playing with": ("playing with", "playing with"),
    "dressed": ("wearing", "wearing", "wearing", "dressed in"),
    "wearing": ("wearing", "wearing", "wearing", "who wears"),
}

SIGNS = (
    'a sign that says "{}"',
    'a sign that says "{}"',
    'a sign saying "{}"',
    'a sign with the word "{}"',
    'a sign that reads "{}"',
    'the word "{}" on a sign',
)

SIGNS_PLACED = (
    'a sign at the {place} that says "{}"',
    'a sign saying "{}" at the {place}',
    'a sign with the word "{}" at the {place}',
)

# single plain things, the way people type them
PLAIN_SINGLE = (
    "{a}", "{a}", "{a}", "{a}", "{a}", "{a}", "{bare}", "{bare}", "{bare}", "a picture of {a}",
    "a drawing of {a}", "an emoji of {a}", "an illustration of {a}", "an icon of {a}", "{bare} {tag}",
    "one {bare}", "draw {a}", "just {a}",
)  # fmt: skip

# ---- placement: (column, row) -> phrases after "is"
PLACEMENT: dict[tuple[str, str], tuple[str, ...]] = {
    ("left", "top"): ("in the upper left corner", "at the top left", "up on the left"),
    ("centre", "top"): ("at the top", "in the upper part of the picture", "near the top edge"),
    ("right", "top"): ("in the upper right corner", "at the top right", "up on the right"),
    ("left", "middle"): ("on the left", "on the left side", "in the left half of the picture"),
    ("centre", "middle"): ("in the middle", "in the centre of the picture", "in the center"),
    ("right", "middle"): ("on the right", "on the right side", "in the right half of the picture"),
    ("left", "bottom"): ("in the lower left corner", "at the bottom left", "down on the left"),
    ("centre", "bottom"): ("at the bottom", "in the lower part of the picture", "near the bottom edge"),
    ("right", "bottom"): ("in the lower right corner", "at the bottom right", "down on the right"),
}
LARGE = (
    "large and in the middle",
    "big and centred",
    "in the middle and almost as large as the picture itself",
)
SMALL = ("small", "quite small", "rather small")
SPREADS: dict[str, tuple[str, ...]] = {
    "row": ("side by side", "in a row", "next to each other"),
    "column": ("one above the other", "in a column", "stacked one over the other"),
    "spread": ("spread over the picture", "in different places", "apart from each other"),
    "near": ("grouped together", "close together", "near each other"),
}

NATURAL = (
    "everything has its usual colours",
    "the colours are natural",
    "nothing has an unusual colour",
    "the colours are the ones you would expect",
)
HUE = (
    "{the} {is} coloured {c}",
    "{the} {is} colored {c}",
    "the colour of {the} is {c}",
    "{the} {is} {c}",
    "{the} {has} {a_c} color",
)
CLOSING = (
    "There is nothing else in the picture.",
    "Nothing else is shown.",
    "The rest of the picture is empty.",
    "No other objects can be seen.",
)

FRAMES_EN: tuple[str, ...] = (
    "{Picture} of {things} {on}. {Where}.",
    "{Picture} of {things}. {Where}, and the background is {bg}.",
    "{Picture} that shows {things} {on}. {Where}.",
    "This is {picture} of {things} {on}. {Where}.",
    "This picture shows {things} {on}, drawn {manner}. {Where}.",
    "The picture shows {things}. {Where}. Behind everything is {bg}, and it is all drawn {manner}.",
    "Here we see {things} {on}. {Where}. It is drawn {manner}.",
    "We can see {things}, drawn {manner}. {Where}. The background is {bg}.",
    "You can see {things} {on}; {where}. The whole picture is done {manner}.",
    "{Things} {on}, drawn {manner}. {Where}.",
    "{Things} {on}. {Where}. The picture is made {manner}.",
    "{Things}, shown {manner}. {Where}, with {bg} as the background.",
    "Drawn {manner}: {things} {on}. {Where}.",
    "Drawn {manner}, the picture contains {things}. {Where}. In the background there is {bg}.",
    "In this drawing, made {manner}, we find {things} {on}; {where}.",
    "In this picture there is nothing but {things} {on}. {Where}. It looks like {picture}.",
    "An illustration showing {things}, done {manner}. {Where}. The background is {bg}.",
    "An illustration {manner} with {things}. {Hue}, {where}, and behind is {bg}.",
    "A drawing of {things} {on}. {Hue}. {Where}, and all of it is drawn {manner}.",
    "A picture of {things}, made {manner}. {Hue}, and the background is {bg}. {Where}.",
    "A simple scene {on}: {things}. {Where}. Everything is drawn {manner}.",
    "A small scene drawn {manner}: {things}. The background is {bg}, and {where}.",
    "The scene is {picture} with {things} {on}. {Where}.",
    "The scene shows {things} {on}. {Where}. Someone drew it {manner}.",
    "The background is {bg}. In front of it you see {things}, drawn {manner}; {where}.",
    "With {bg} as the background, {picture} shows {things}. {Where}.",
    "Against a backdrop of {bg}, there is a drawing of {things}. {Where}. The drawing is made {manner}.",
    "Imagine {picture} of {things} {on}. {Where}. {Hue}.",
    "Draw {picture} of {things} {on}. Make sure that {where}.",
    "Please draw {things} {on}, {manner}, so that {where}.",
    "Create an image of {things}, {manner}, with {bg} in the background. It is important that {where}.",
    "I want {picture} with {things}. {Where}. For the background use {bg}.",
    "I would like to see {things} {on}, drawn {manner}, and I want it so that {where}.",
    "Make {picture} of {things}, where {where}. Use {bg} as the background.",
    "Someone has drawn {things} {manner}. {Where}. What lies behind is {bg}.",
    "The artist drew {things} {on}. {Hue}, and {where}. The style: {picture}.",
    "This emoji picture has {things}. {Where}. {Hue}. It is drawn {manner}, and the background is {bg}.",
    "What you see is {picture}: {things} {on}. {Where}.",
    "Look at this: {things} {on}. {Where}. {Hue}. The drawing was done {manner}.",
    "With {bg} behind, here is {picture} of {things}. {Where}, and {hue}.",
    "Shown here: {things}. {Where}. {Hue}. Background: {bg}. Style: {picture}.",
    "Subject: {things}. Placement: {where}. Background: {bg}. Style: {picture}.",
    "The main subject is {things}, shown {on}. {Where}. The look is that of {picture}.",
    "The image presents {things}, rendered {manner}. {Where}. The surroundings are {bg}.",
    "The image, {picture}, depicts {things} {on}; {where}.",
    "A clear image of {things}, rendered {manner}, with {bg} behind. {Where}, and {hue}.",
    "A cheerful little picture, drawn {manner}, of {things} {on}. {Where}.",
    "It is {picture}. It shows {things} {on}, and {where}.",
    "There is a picture of {things}. It is drawn {manner}. Its background is {bg}. {Where}.",
    "A view of {things} {on}. {Hue}. {Where}. It has the look of {picture}.",
)

# ---- alt text
FILES = (
    "IMG_{n4}.jpg", "DSC{n5}.JPG", "image{n2}.png", "{slug}.png", "{slug}-{n2}.jpg", "{slug}_{n3}.svg",
    "screenshot_{n4}.png", "pic{n3}.gif",
)  # fmt: skip
MONTHS = (
    "January", "February", "March", "April", "May", "June", "July", "August", "September", "October",
    "November", "December",
)  # fmt: skip
BOILERPLATE_AFTER = (
    "stock vector", "- stock illustration", "free download", "| free icons", "clipart", "vector icon",
    "png", "transparent png", "icon set", "royalty free", "| emoji list", "- free vector art", "for kids",
    "on sale now", "(high resolution)", "photographed on {day} {month} {year}", "uploaded {month} {year}",
    "- {year}", "{day}/{m}/{year}", "copyright {year}", "by user{n4}", "#{n3}", "- page {n1}", "{file}",
    "wallpaper", "coloring page", "best of {year}", "premium", "logo", "tattoo design",
)  # fmt: skip
BOILERPLATE_BEFORE = (
    "image of", "picture of", "vector", "free", "download", "image result for", "new", "illustration of",
    "cute", "cartoon", "{file}:", "fig. {n1}:", "{year}", "stock vector of", "hand drawn", "how to draw",
    "buy", "set of", "icon:", "emoji:",
)  # fmt: skip
ALT_ONLY = (
    "untitled", "image", "stock vector", "no caption", "picture {n2}", "{day} {month} {year}", "icon",
    "thumbnail", "photographed on {day} {month} {year}",
)  # fmt: skip
EXTRA = (
    "It is a simple and clean image.",
    "Everything can be seen clearly and nothing is hidden.",
    "The drawing is simple and easy to recognise.",
    "Every part of it is easy to see.",
)
