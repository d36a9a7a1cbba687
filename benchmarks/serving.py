"""Pictures a second, and how long a caller waits, at 1, 4 and 16 callers: our server and a plain one.

Run      python benchmarks/serving.py [--models dalle1,dalle2] [--clients 1,4,16] [--seconds 30]
Needs    the extras serve and dev
Writes   benchmarks/results/serving_YYYYMMDD.json

Each caller asks for one picture of its own prompt at the model's own size, again as soon as it has it. The
plain server is what one writes in ten lines: the standard library's threaded HTTP server around one artist
and a lock, which draws one request at a time. Both run on the same processor as the callers.
"""

from __future__ import annotations

import argparse
import os
import re
import statistics
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from typing import Any

import httpx
from _machine import console, facts, show, write

PROMPTS = ["a cat", "a red apple", "a dog", "an avocado", "피자", "a car", "a house", "a teddy bear"]
PLAIN = """
import base64, json, sys, threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
import armchair

artist, lock = armchair.load(sys.argv[1]), threading.Lock()

class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    def do_POST(self):
        fields = json.loads(self.rfile.read(int(self.headers["content-length"])))
        with lock:
            picture = artist.generate(fields["prompt"])[0]
        data = {"created": 0, "data": [{"b64_json": base64.b64encode(picture.png()).decode()}]}
        body = json.dumps(data).encode()
        self.send_response(200)
        self.send_header("content-length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)
    def log_message(self, *_): pass

server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
print(f"Armchair is at http://127.0.0.1:{server.server_port}/v1", file=sys.stderr, flush=True)
server.serve_forever()
"""


@contextmanager
def serving(command: list[str]) -> Iterator[str]:
    """A server's address, once it draws."""
    with subprocess.Popen(command, stderr=subprocess.PIPE, text=True) as server:
        assert server.stderr is not None
        try:
            found = next(filter(None, (re.search(r"is at (http://\S+)/v1", line) for line in server.stderr)))
            threading.Thread(target=server.stderr.read, daemon=True).start()
            yield found[1]
        finally:
            server.terminate()
            server.wait()


def call(client: httpx.Client, model: str, prompt: str) -> bool:
    body = {"prompt": prompt, "model": model, "response_format": "b64_json"}
    return client.post("/v1/images/generations", json=body).status_code == 200


def measure(address: str, model: str, callers: int, seconds: float) -> dict[str, Any]:
    """Pictures a second and the seconds of a call."""
    taken: list[float] = []
    failed = 0

    def caller(number: int) -> None:
        nonlocal failed
        turn = number
        while True:  # each of them once at least, however slow the machine is
            began = time.monotonic()
            failed += not call(client, model, PROMPTS[turn % len(PROMPTS)])
            turn += 1
            taken.append(time.monotonic() - began)
            if time.monotonic() > stop:
                return

    room = httpx.Limits(max_connections=callers)
    with httpx.Client(base_url=address, timeout=600, trust_env=False, limits=room) as client:
        began = time.monotonic()
        stop = began + seconds
        with ThreadPoolExecutor(callers) as crew:
            list(crew.map(caller, range(callers)))
        wall = time.monotonic() - began
    ranks = statistics.quantiles(taken, n=100, method="inclusive") if len(taken) > 1 else [taken[0]] * 99
    return {
        "callers": callers,
        "pictures": len(taken),
        "failed": failed,
        "pictures_s": round(len(taken) / wall, 3),
        "p50_s": round(ranks[49], 3),
        "p99_s": round(ranks[98], 3),
    }


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--models", default="dalle1,dalle2", help="bundles that draw")
    parser.add_argument("--clients", default="1,4,16")
    parser.add_argument("--seconds", type=float, default=30.0)
    args = parser.parse_args()
    rows: list[dict[str, Any]] = []
    for model in args.models.split(","):
        servers = {
            "armchair serve": [sys.executable, "-m", "armchair", "serve", "--port", "0", "--models", model],
            "one at a time": [sys.executable, "-c", PLAIN, model],
        }
        for name, command in servers.items():
            with serving(command) as address, httpx.Client(base_url=address, timeout=600) as client:
                while not call(client, model, PROMPTS[0]):
                    time.sleep(0.5)
                for callers in map(int, args.clients.split(",")):
                    found = measure(address, model, callers, args.seconds)
                    rows.append({"model": model, "server": name, **found})
                    show(rows[-1])
    threads = os.environ.get("OMP_NUM_THREADS", "torch's default")
    result = {**facts("serving"), "clock": "wall seconds", "worker_threads": threads}
    console.print(f"load {result['load']}")
    write({**result, "seconds": args.seconds, "rows": rows})


if __name__ == "__main__":
    main()
