"""The torch side of the Graph: tracing, quantisers, freezing and lowering, so that both give the same integers."""
