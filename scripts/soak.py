"""Keep a server busy for hours, break what callers may break, and see whether it grows.

Run      python scripts/soak.py [--minutes 60] [--clients 8] [--config serve.json]
Needs    the extras serve and dev
Says     a line a minute, and at the end what failed and what grew; exit 1 if anything did

One call in five is left before its answer, one in twenty is wrong. Every answer must be the right one: 200
for good calls, 400 for wrong ones, 429 or 503 with Retry-After under load, never another 5xx. Memory of the
server, its worker and its codecs is taken every second; what counts is its slope over the second half.
"""

import argparse
import contextlib
import io
import os
import random
import re
import signal
import statistics
import subprocess
import sys
import threading
import time
from collections import Counter
from pathlib import Path

import httpx
from PIL import Image

ALLOWED_PER_HOUR = 1.0  # MB that a process may grow in an hour, beyond what its noise hides
GENERATE, EDIT, VARY = (f"/v1/images/{name}" for name in ("generations", "edits", "variations"))


def main() -> int:
    """Start a server, keep it busy, judge it."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--minutes", type=float, default=60.0)
    parser.add_argument("--clients", type=int, default=8)
    parser.add_argument(
        "--config", default=None, help="settings of the server, as `armchair serve` takes them"
    )
    parser.add_argument("--model", default="dall-e-2")
    parser.add_argument("--prompt", default="a red apple")
    args = parser.parse_args()
    command = [sys.executable, "-m", "armchair", "serve", "--port", "0"]
    command += [] if args.config is None else ["--config", args.config]
    with subprocess.Popen(command, stderr=subprocess.PIPE, text=True) as server:
        try:
            address = address_of(server)
            threading.Thread(target=lambda: server.stderr.read(), daemon=True).start()
            wait_until_ready(address)
            outcome, samples = soak(server.pid, address, args)
            server.send_signal(signal.SIGTERM)
            stopped = server.wait(60)
        finally:
            server.kill()
    return judge(outcome, samples, stopped)


def address_of(server: subprocess.Popen) -> str:
    for line in server.stderr:
        found = re.search(r"Armchair is at (http://\S+)/v1", line)
        if found:
            return found[1]
    raise SystemExit("the server did not start")


def wait_until_ready(address: str) -> None:
    while httpx.get(f"{address}/readyz", trust_env=False).status_code != 200:
        time.sleep(0.2)


def soak(pid: int, address: str, args: argparse.Namespace) -> "tuple[Counter, dict[str, list]]":
    """(what calls came to, memory over time of each process in MB)"""
    stop = time.monotonic() + args.minutes * 60
    outcome: Counter = Counter()
    samples: dict[str, list] = {}
    threads = [
        threading.Thread(target=call_on, args=(address, stop, random.Random(i), outcome, args))
        for i in range(args.clients)
    ]
    for thread in threads:
        thread.start()
    began = said = time.monotonic()
    while time.monotonic() < stop:
        time.sleep(min(1.0, args.minutes))
        for name, megabytes in memory(pid).items():
            samples.setdefault(name, []).append((time.monotonic() - began, megabytes))
        if time.monotonic() - said > 60:
            said = time.monotonic()
            print(f"{(said - began) / 60:.0f} min {dict(outcome)} {memory(pid)}", flush=True)
    for thread in threads:
        thread.join()
    return outcome, samples


def call_on(address: str, stop: float, rng: random.Random, outcome: Counter, args) -> None:
    """One caller: call after call, some of them left, some of them wrong."""
    picture = drawing()
    while time.monotonic() < stop:
        wrong, leaves = rng.random() < 0.05, rng.random() < 0.2
        route = rng.choice([GENERATE, GENERATE, GENERATE, EDIT, VARY])
        size = "7x7" if wrong else None
        request = {"n": rng.choice([1, 1, 2]), "model": args.model} | ({"size": size} if size else {})
        if route == GENERATE:
            body = {"json": {**request, "prompt": args.prompt, "response_format": "b64_json"}}
        else:
            fields = {**request, "prompt": args.prompt} if route == EDIT else request
            body = {"data": {name: str(value) for name, value in fields.items()}, "files": {"image": picture}}
        try:
            patience = rng.random() if leaves else 300
            with httpx.Client(base_url=address, trust_env=False, timeout=patience) as client:
                reply = client.post(route, **body)
        except httpx.TimeoutException:
            outcome["left" if leaves else "timed out"] += 1
            continue
        except httpx.HTTPError as error:
            outcome[f"broken: {type(error).__name__}"] += 1
            continue
        outcome[verdict(reply, wrong)] += 1


def verdict(reply: httpx.Response, wrong: bool) -> str:
    """ "ok", "refused" under load, or what was not as it should be."""
    if reply.status_code in {429, 503} and "retry-after" in reply.headers:
        time.sleep(0.2)
        return "refused"
    code = reply.json().get("error", {}).get("code") if reply.status_code != 200 else None
    if reply.status_code == (400 if wrong else 200) or code == "unsupported_operation":
        return "ok"
    return f"unexpected {reply.status_code} {reply.text[:100]}"


def drawing() -> bytes:
    buffer = io.BytesIO()
    Image.new("RGBA", (64, 64), (200, 30, 30, 0)).save(buffer, "PNG")
    return buffer.getvalue()


def memory(pid: int) -> "dict[str, float]":
    """Resident megabytes of the server and of those that it started, by what they are."""
    found: dict[str, float] = {}
    for each in [pid, *children(pid)]:
        with contextlib.suppress(OSError):
            words = Path(f"/proc/{each}/cmdline").read_bytes().decode(errors="replace")
            kind = next((name for name in ("worker", "codec") if f"armchair.serve.{name}" in words), "server")
            pages = int(Path(f"/proc/{each}/statm").read_text().split()[1])
            found[f"{kind} {each}"] = round(pages * os.sysconf("SC_PAGE_SIZE") / 2**20, 2)
    return found


def children(pid: int) -> "list[int]":
    found = []
    for task in Path(f"/proc/{pid}/task").iterdir():
        with contextlib.suppress(OSError):
            found += [int(word) for word in (task / "children").read_text().split()]
    return found


def judge(outcome: Counter, samples: "dict[str, list]", stopped: int) -> int:
    """Print what came of it; 1 if anything is wrong."""
    bad = {name: count for name, count in outcome.items() if name not in {"ok", "refused", "left"}}
    print(f"calls: {dict(outcome)}")
    for name, points in samples.items():
        late = points[len(points) // 2 :]
        grown, noise = growth(late)
        hours = (late[-1][0] - late[0][0]) / 3600 if len(late) > 1 else 0.0
        print(f"{name}: {late[-1][1]:.1f} MB, {grown:+.2f} MB in the second half ({hours * 60:.1f} min)")
        if grown > ALLOWED_PER_HOUR * hours + noise:
            bad[f"{name} grows"] = round(grown, 2)
    if stopped != 0:
        bad["exit status"] = stopped
    print("sound" if not bad else f"wrong: {bad}")
    return 1 if bad else 0


def growth(points: "list[tuple[float, float]]") -> "tuple[float, float]":
    """(MB by which a line through the points rises over them, MB that chance alone may make of it)"""
    if len(points) < 4:
        return 0.0, 1.0
    times, values = zip(*points, strict=True)
    line = statistics.linear_regression(times, values)
    rest = [value - line.intercept - line.slope * when for when, value in points]
    # caches fill for a while: two megabytes are no leak yet
    return line.slope * (times[-1] - times[0]), 2.0 + 3 * statistics.pstdev(rest)


if __name__ == "__main__":
    sys.exit(main())
