"""Metrics that Prometheus reads at /metrics. The metrics contain no text from users."""

from contextlib import suppress

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, generate_latest

SECONDS = (0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60)
SIZES = (1, 2, 4, 8, 16, 32, 64, 128, 256)


class Metrics:
    """Metrics of one server. Each server has its own registry, so a process can run several servers."""

    def __init__(self) -> None:
        self.registry = CollectorRegistry()
        registry = self.registry
        self.requests = Counter("nmt_requests", "Answered requests", ["route", "status"], registry=registry)
        self.request_seconds = Histogram(
            "nmt_request_seconds", "Time from a request to its answer", ["route"], buckets=SECONDS, registry=registry
        )
        self.refused = Counter(
            "nmt_refused", "Requests refused because the queue was full", ["model"], registry=registry
        )
        self.waiting = Gauge("nmt_queue_texts", "Texts in the queue", registry=registry)
        self.wait_seconds = Histogram(
            "nmt_queue_seconds", "Time that a text spent in the queue", ["model"], buckets=SECONDS, registry=registry
        )
        self.batch_texts = Histogram(
            "nmt_batch_texts", "Texts in a batch", ["model", "signature"], buckets=SIZES, registry=registry
        )
        self.tokens = Counter("nmt_source_tokens", "Source tokens, without padding", ["model"], registry=registry)
        self.padded = Counter("nmt_padded_tokens", "Source tokens, with padding", ["model"], registry=registry)
        self.generated = Counter("nmt_generated_tokens", "Tokens of written texts", ["model"], registry=registry)
        self.loaded = Gauge("nmt_model_version", "Version that answers requests", ["model"], registry=registry)
        self.warm = Gauge(
            "nmt_model_warm", "1 after every signature of that version has run", ["model"], registry=registry
        )
        self.load_failures = Counter(
            "nmt_load_failures", "Versions that could not be loaded", ["model"], registry=registry
        )

    def batch(self, model: str, signature: str, texts: int, tokens: int, padded: int) -> None:
        """Records a batch that was computed.

        Args:
            model: Name of the model.
            signature: Name of the signature.
            texts: Number of texts in the batch.
            tokens: Number of source tokens in the batch, without padding.
            padded: Number of source tokens in the batch, with padding.
        """
        self.batch_texts.labels(model, signature).observe(texts)
        self.tokens.labels(model).inc(tokens)
        self.padded.labels(model).inc(padded)

    def forget(self, model: str) -> None:
        """Removes the gauges of a model that is no longer served. The model's counters stay."""
        for gauge in (self.loaded, self.warm):
            with suppress(KeyError):
                gauge.remove(model)

    def page(self) -> bytes:
        """Returns all metrics in Prometheus' text format."""
        return generate_latest(self.registry)
