"""What Prometheus reads at /metrics; nothing of what users write is in it."""

from contextlib import suppress

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, generate_latest

SECONDS = (0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60)
SIZES = (1, 2, 4, 8, 16, 32, 64, 128, 256)


class Metrics:
    """One registry for each server, so that several can live in a process."""

    def __init__(self) -> None:
        self.registry = CollectorRegistry()
        of = self.registry
        self.requests = Counter("nmt_requests", "Requests answered", ["route", "status"], registry=of)
        self.request_seconds = Histogram(
            "nmt_request_seconds", "From a request to its answer", ["route"], buckets=SECONDS, registry=of
        )
        self.refused = Counter("nmt_refused", "Requests refused because the queue was full", ["model"], registry=of)
        self.waiting = Gauge("nmt_queue_texts", "Texts that wait for a worker", registry=of)
        self.wait_seconds = Histogram(
            "nmt_queue_seconds", "How long a text waited for a worker", ["model"], buckets=SECONDS, registry=of
        )
        self.batch_texts = Histogram(
            "nmt_batch_texts", "Texts of a batch", ["model", "signature"], buckets=SIZES, registry=of
        )
        self.tokens = Counter("nmt_source_tokens", "Tokens of the texts that were computed", ["model"], registry=of)
        self.padded = Counter("nmt_padded_tokens", "The same with the padding of their batches", ["model"], registry=of)
        self.loaded = Gauge("nmt_model_version", "The version that answers", ["model"], registry=of)
        self.warm = Gauge("nmt_model_warm", "1 once each signature of that version has run", ["model"], registry=of)
        self.load_failures = Counter("nmt_load_failures", "Versions that could not be loaded", ["model"], registry=of)

    def batch(self, model: str, signature: str, texts: int, tokens: int, padded: int) -> None:
        """A batch was computed."""
        self.batch_texts.labels(model, signature).observe(texts)
        self.tokens.labels(model).inc(tokens)
        self.padded.labels(model).inc(padded)

    def forget(self, model: str) -> None:
        """A model answers no more: it has no version now. What was counted stays, as counters do."""
        for gauge in (self.loaded, self.warm):
            with suppress(KeyError):
                gauge.remove(model)

    def page(self) -> bytes:
        """All of it in Prometheus' text format."""
        return generate_latest(self.registry)
