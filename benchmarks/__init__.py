"""Benchmarks: one script per claim, beside a peer in the same run. `python -m benchmarks list` names them."""
