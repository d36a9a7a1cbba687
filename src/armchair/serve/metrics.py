"""Numbers for Prometheus. No label holds a key, a prompt or anything else that a caller chooses."""

from __future__ import annotations

from collections.abc import Callable

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, generate_latest
from prometheus_client.exposition import CONTENT_TYPE_LATEST

SECONDS = (0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 120, 300, 600)


class Metrics:
    """A registry of its own, so that two servers in one process do not share one."""

    content_type = CONTENT_TYPE_LATEST

    def __init__(self) -> None:
        registry = self.registry = CollectorRegistry()
        self.requests = Counter(
            "armchair_requests", "Replies.", ["route", "method", "status"], registry=registry
        )
        self.seconds = Histogram(
            "armchair_request_seconds", "From a request to the end of its reply.", ["route"],
            buckets=SECONDS, registry=registry,
        )  # fmt: skip
        self.refused = Counter(
            "armchair_refused", "Requests that were not drawn.", ["reason"], registry=registry
        )
        self.cancelled = Counter("armchair_cancelled", "Requests whose caller left.", registry=registry)
        self.retries = Counter("armchair_retries", "Requests that a client sent again.", registry=registry)
        self.pictures = Counter("armchair_pictures", "Pictures drawn.", ["model"], registry=registry)
        self.steps = Counter("armchair_steps", "Steps of all runs.", registry=registry)
        self.batch = Histogram(
            "armchair_batch_rows", "Pictures of a run.", buckets=(1, 2, 3, 4, 6, 8, 12, 16), registry=registry
        )
        self.busy = Counter("armchair_busy_seconds", "Seconds that workers drew.", registry=registry)
        self.waited = Histogram(
            "armchair_queue_seconds", "From a request's arrival to its run.",
            buckets=SECONDS, registry=registry,
        )  # fmt: skip
        self.restarts = Counter("armchair_worker_deaths", "Workers that died.", registry=registry)
        self.bytes = Counter("armchair_body_bytes", "Bytes of bodies.", ["direction"], registry=registry)
        self._gauges: list[Gauge] = []

    def watch(self, name: str, text: str, read: Callable[[], float]) -> None:
        """A gauge that is read when it is asked for."""
        gauge = Gauge(f"armchair_{name}", text, registry=self.registry)
        gauge.set_function(read)
        self._gauges.append(gauge)

    def text(self) -> bytes:
        return generate_latest(self.registry)
