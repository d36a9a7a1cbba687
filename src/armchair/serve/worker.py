"""The process of one device: it owns the models, draws one run at a time, and stops within a step.

Run by `pool.Pool` as `python -m armchair.serve.worker`. Frames in: run, cancel. Frames out: hello (what the
models can do), beat (it lives), step, preview, picture, words, refused (one order of a run), end (of a run).
"""

from __future__ import annotations

import gc
import importlib
import json
import logging
import os
import queue
import signal
import sys
import threading
import time
import traceback
from collections import OrderedDict
from typing import Any, BinaryIO

from PIL import Image

from armchair.core.errors import ArmchairError, BadInput, MissingDependency, Unsupported
from armchair.serve.orders import WORDS
from armchair.serve.performer import Done, Part, Shown, Stepped, job, perform
from armchair.serve.protocol import Frame, pack, read

PROBE = "a red apple"


def main() -> None:
    signal.signal(signal.SIGTERM, signal.SIG_IGN)  # a service manager may tell all processes; we drain first
    sink = os.fdopen(os.dup(1), "wb")
    os.dup2(2, 1)  # whatever else writes to stdout writes to the log
    logging.basicConfig(stream=sys.stderr, level=logging.WARNING, format="%(message)s")
    logging.getLogger("armchair").setLevel(logging.ERROR)  # its notes repeat words of prompts
    worker = Worker(json.loads(sys.argv[1]), sink)
    threading.Thread(target=worker.listen, args=(sys.stdin.buffer,), daemon=True).start()
    threading.Thread(target=worker.beat, daemon=True).start()
    worker.work()


class Worker:
    """options: studio (a module), models (names, [] for all), device, dtype, memory (bytes or None), beat
    (seconds between two beats).
    """

    def __init__(self, options: dict[str, Any], sink: BinaryIO):
        self.options = options
        self.studio = importlib.import_module(options["studio"])
        self.sink, self.lock = sink, threading.Lock()
        self.inbox: queue.Queue[Frame] = queue.Queue()
        self.cancelled: set[str] = set()  # tickets; those of other runs are harmless
        self.models: OrderedDict[str, Any] = OrderedDict()  # name -> artist, the one used last at the end
        self.bytes: dict[str, int] = {}  # name -> memory that it took when it was loaded

    def say(self, kind: str, blobs: tuple[bytes, ...] = (), **values: Any) -> None:
        data = pack({"kind": kind, **values}, blobs)
        with self.lock:
            self.sink.write(data)
            self.sink.flush()

    def listen(self, source: BinaryIO) -> None:
        """Cancels take effect at once, runs wait in the inbox. The end of the stream is the end of this."""
        while (frame := read(source)) is not None:
            if frame.header["kind"] == "cancel":
                self.cancelled.add(frame.header["ticket"])
            else:
                self.inbox.put(frame)
        os._exit(0)

    def beat(self) -> None:
        while True:
            self.say("beat")
            time.sleep(self.options["beat"])

    def work(self) -> None:
        names = self.options["models"] or self.studio.names()
        found: dict[str, Any] = {}
        failed: dict[str, str] = {}
        for name in reversed(names):  # so that the first one is loaded last and stays
            try:
                found[name] = self.describe(name)
            except ArmchairError as error:
                failed[name] = str(error)
        ordered = {name: found[name] for name in names if name in found}
        words = self.studio.says()
        self.say("hello", models=ordered, words=words, failed=failed, loaded=list(self.models))
        while True:
            frame = self.inbox.get()
            self.run(frame)

    def describe(self, name: str) -> dict[str, Any]:
        """What a model can do, and the seconds of one picture by its first steps. Raises ArmchairError."""
        artist = self.artist(name)
        return {
            "kind": artist.bundle.kind,
            "name": artist.bundle.name,
            "created": changed(artist.bundle.folder),
            "operations": sorted(artist.operations),
            "sizes": artist.sizes,
            "options": self.studio.options(artist),
            "digest": artist.bundle.digest,
            "writing": artist.writing,
            "expands": artist.pipeline.expands,
            "together": artist.pipeline.together,
            "seconds": self.probe(artist) if "generate" in artist.operations else None,
        }

    def probe(self, artist: Any) -> float:
        """Seconds of one picture, by two steps of it; the proof that the model draws."""
        events = artist.draw(artist.job(prompt=PROBE, n=1, seed=0, options={}))
        seconds: list[float] = []
        total, began = 1, time.perf_counter()
        for event in events:
            seconds.append(time.perf_counter() - began)
            began = time.perf_counter()
            total = getattr(event, "total", total)
            if len(seconds) == 2:
                break
        events.close()
        return seconds[0] + (total - 1) * seconds[-1]

    def artist(self, name: str) -> Any:
        """The model, loaded now if it is not; those that were not used for longest make room for it."""
        if name in self.models:
            self.models.move_to_end(name)
            return self.models[name]
        self.make_room(self.bytes.get(name, 0))
        before = held_bytes(self.options["device"])
        self.models[name] = self.studio.load(name, self.options["device"], self.options["dtype"])
        self.bytes[name] = max(0, held_bytes(self.options["device"]) - before, self.bytes.get(name, 0))
        self.make_room(0, keep=name)
        return self.models[name]

    def make_room(self, more: int, keep: str | None = None) -> None:
        budget = self.options["memory"]
        while budget is not None and sum(self.bytes[name] for name in self.models) + more > budget:
            name = next((name for name in self.models if name != keep), None)
            if name is None:
                return
            del self.models[name]
            release()

    def run(self, frame: Frame) -> None:
        header, began, reason, text = frame.header, time.perf_counter(), "", ""
        try:
            self.draw(header, parts_of(frame))
        except ArmchairError as error:
            reason, text = blame(error), str(error)
        except MemoryError:
            reason = "memory"
        except Exception as error:
            traceback.print_exc()
            reason = "memory" if type(error).__name__ == "OutOfMemoryError" else "fault"
            if "CUDA error" in str(error):  # the device's context is lost, and with it this process
                os._exit(1)
        if reason == "memory":
            release()
        self.cancelled.clear()
        seconds = time.perf_counter() - began
        loaded = list(self.models)
        self.say("end", run=header["run"], seconds=seconds, error=reason, message=text, loaded=loaded)

    def draw(self, header: dict[str, Any], parts: list[Part]) -> None:
        run, operation = header["run"], parts[0].order["operation"]
        if operation in WORDS:
            part = parts[0]
            pictures = [picture for picture in part.pictures if picture is not None]
            value = self.studio.words(operation, part.order["extras"], pictures, self.options["device"])
            self.say("words", run=run, ticket=part.ticket, value=value)
            return
        artist = self.artist(header["model"])
        live: list[Part] = []
        jobs: list[Any] = []
        for part in parts:
            try:
                jobs.append(job(self.studio, artist, part))
                live.append(part)
            except ArmchairError as error:
                self.say("refused", run=run, ticket=part.ticket, error=blame(error), message=str(error))
        if not live:
            return
        events = perform(artist, live, jobs)
        for event in events:
            if isinstance(event, Stepped):
                self.say("step", run=run, index=event.index, total=event.total)
                for part in live:
                    part.wanted = part.wanted and part.ticket not in self.cancelled
                if not any(part.wanted for part in live):
                    events.close()
                    return
            else:
                self.show(run, artist, event)

    def show(self, run: int, artist: Any, event: Shown | Done) -> None:
        common: dict[str, Any] = {"run": run, "ticket": event.part.ticket, "row": event.row}
        if isinstance(event, Shown):
            image = event.image.convert("RGB")
            self.say("preview", (image.tobytes(),), **common, number=event.number, size=image.size)
            return
        picture, image = event.picture, event.picture.image.convert("RGB")
        recipe = json.dumps(picture.recipe, ensure_ascii=False).encode()
        self.say(
            "picture",
            (image.tobytes(), recipe),
            **common,
            seed=picture.seed,
            size=image.size,
            revised_prompt=picture.revised_prompt,
            notes=artist.notes(picture.prompt) if picture.prompt else [],
        )


def blame(error: ArmchairError) -> str:
    """Whose mistake it is: the caller's ("input"), nobody's ("unsupported"), or that of what is installed."""
    if isinstance(error, BadInput):
        return "input"
    if isinstance(error, Unsupported | MissingDependency):
        return "unsupported"
    logging.getLogger("armchair").error("%s: %s", type(error).__name__, error)
    return "fault"


def parts_of(frame: Frame) -> list[Part]:
    """The parts of a run frame: each order's pictures are the next of its blobs."""
    blobs = iter(frame.blobs)
    parts: list[Part] = []
    for entry in frame.header["parts"]:
        pictures: list[Image.Image | None] = [
            Image.frombytes(shape["mode"], (shape["width"], shape["height"]), next(blobs))
            for shape in entry["order"]["pictures"]
        ]
        parts.append(Part(entry["ticket"], entry["order"], entry["rows"], pictures))
    return parts


def changed(folder: str | os.PathLike[str]) -> int:
    """When a bundle was made, in seconds since 1970."""
    try:
        return int(os.stat(os.path.join(folder, "bundle.json")).st_mtime)
    except OSError:
        return 0


def held_bytes(device: str) -> int:
    """Memory that this process holds: the device's where it is one of its own, else the machine's."""
    torch = sys.modules.get("torch")
    if torch is not None and device.startswith(("cuda", "auto")) and torch.cuda.is_available():
        return torch.cuda.memory_allocated()
    try:
        with open("/proc/self/statm", encoding="ascii") as file:
            return int(file.read().split()[1]) * os.sysconf("SC_PAGE_SIZE")
    except OSError:
        return 0


def release() -> None:
    """Give back what nothing refers to any more."""
    gc.collect()
    torch = sys.modules.get("torch")
    if torch is not None and torch.cuda.is_available():
        torch.cuda.empty_cache()


if __name__ == "__main__":
    main()
