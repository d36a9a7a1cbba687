"""What an operator can change: a JSON file, and the flags of `armchair serve` on top."""

from __future__ import annotations

import ipaddress
from collections.abc import Mapping
from dataclasses import dataclass, field

from armchair.core.errors import BadInput

GPT_MODELS = ("gpt-image-1", "gpt-image-1-mini", "gpt-image-1.5", "gpt-image-2", "gpt-image-2-2026-04-21")
BEST = ("dalle3", "dalle2", "dalle1")


def usual_aliases() -> dict[str, tuple[str, ...]]:
    """OpenAI's names -> the bundles that stand in for them, the first that is here and can do it."""
    return {"dall-e-2": ("dalle2", "dalle1"), "dall-e-3": BEST, **dict.fromkeys(GPT_MODELS, BEST)}


@dataclass(frozen=True, kw_only=True)
class Settings:
    # who may call
    host: str = "127.0.0.1"
    port: int = 8000
    keys: tuple[str, ...] = field(default=(), repr=False)  # API keys; without one only this machine may call
    public_url: str | None = None  # what result URLs start with; None: the address that the caller used
    page: bool = True  # whether there is one at /ui
    cors: tuple[str, ...] = ()  # origins whose pages may call
    policy: str | None = None  # "module:function" of a prompt, True where it may be drawn
    banned_words: str | None = None  # a file with a word or phrase a line

    # what is drawn, and where
    models: tuple[str, ...] = ()  # bundles by name or folder; () is every one here that draws
    aliases: Mapping[str, tuple[str, ...]] = field(default_factory=usual_aliases)
    strict: bool = False  # refuse what OpenAI's API refused, answer nothing that it did not
    devices: tuple[str, ...] = ("auto",)  # a worker each
    dtype: str = "auto"
    memory: int | None = None  # bytes of models that a worker holds at once; None: all of them
    batch: int = 8  # pictures that are drawn together at most
    studio: str = "armchair.serve.studio"  # the module that loads and draws

    # how much may wait, and how long
    queue: int = 256  # requests
    queue_of_one_key: int = 64
    longest_wait: float = 300.0  # seconds that a request is predicted to wait at most, else it is refused
    longest_draw: float = 1800.0  # seconds that a request is predicted to take at most
    images_per_minute: int | None = None  # of one key
    keep_alive: float = 10.0  # seconds between two comments in a stream
    drain: float = 120.0  # seconds that running requests have when the server is told to stop

    # results behind URLs
    store: str | None = (
        None  # a folder or an fsspec URL that several servers may share; None: a temporary one
    )
    url_seconds: float = 3600.0
    store_bytes: int = 2 * 2**30

    # what may arrive
    header_seconds: float = 30.0  # to send a request's head, and then its body beyond BODY_RATE
    connections: int = 2000
    body_bytes: int = 128 * 2**20  # of one request
    upload_bytes: int = 512 * 2**20  # of all requests that are being read

    # how the workers are watched
    stale_seconds: float = 2.0  # silence after which a worker does not count as ready
    silent_seconds: float = 6.0  # silence after which it is replaced
    start_seconds: float = 120.0  # silence while it starts
    step_seconds: float = 300.0  # one step of a run
    codecs: int = 2  # processes that decode, and as many that encode

    def __post_init__(self):
        if not 0 <= self.port < 65536:
            raise BadInput(f"port {self.port}: 0 (any free one) to 65535")
        if not self.keys and not self.loopback:
            raise BadInput(
                f"host {self.host} is reachable from other machines and no API key is set: give --api-key, "
                "or the default host 127.0.0.1"
            )
        for key in self.keys:
            if len(key) < 8 or not key.isascii() or not key.isprintable() or " " in key:
                raise BadInput("an API key is 8 or more printable ASCII characters without blanks")
        for name in ("batch", "queue", "queue_of_one_key", "codecs", "connections"):
            if getattr(self, name) < 1:
                raise BadInput(f"{name} {getattr(self, name)}: at least 1")
        if not self.devices:
            raise BadInput("devices is empty; name at least one, or auto")

    @property
    def loopback(self) -> bool:
        """Whether only programs on this machine can connect."""
        if self.host == "localhost":
            return True
        try:
            return ipaddress.ip_address(self.host).is_loopback
        except ValueError:
            return False
