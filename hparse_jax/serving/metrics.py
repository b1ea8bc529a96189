"""What the service counts, as Prometheus text."""

from prometheus_client import (
    CollectorRegistry,
    Counter,
    Gauge,
    Histogram,
    ProcessCollector,
    generate_latest,
)

CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8"
_SECONDS = (0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 25, 60)
_PHOTOGRAPHS = (1, 2, 4, 8, 16, 32, 64)


class Metrics:
    """Counters of one service. Resident memory is `process_resident_memory_bytes`, on Linux."""

    def __init__(self):
        self._registry = CollectorRegistry()
        ProcessCollector(registry=self._registry)
        self.requests = Counter(
            "hparse_requests",
            "Requests answered; 499: the client hung up.",
            ("path", "status"),
            registry=self._registry,
        )
        self.seconds = Histogram(
            "hparse_request_seconds",
            "From a request's head to the end of its answer.",
            ("path",),
            buckets=_SECONDS,
            registry=self._registry,
        )
        self.queue_length = Gauge(
            "hparse_queue_length",
            "Photographs accepted and not yet answered.",
            registry=self._registry,
        )
        self.batch_sizes = Histogram(
            "hparse_batch_size",
            "Photographs parsed in one batch.",
            buckets=_PHOTOGRAPHS,
            registry=self._registry,
        )
        self.ready = Gauge(
            "hparse_ready", "1 when all programs are compiled.", registry=self._registry
        )

    def text(self) -> bytes:
        """The exposition that Prometheus reads."""
        return generate_latest(self._registry)
