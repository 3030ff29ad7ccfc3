"""The made-up and repeated corpora that benchmarks train on, stream and prepare."""
