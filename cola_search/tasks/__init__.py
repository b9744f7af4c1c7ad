"""Benchmarks: lm-eval's tasks and the papers' protocols, as items with requests and verdicts."""
