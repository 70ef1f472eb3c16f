"""Exchange with other tools: networks as QONNX files, read and written."""

from intaglio.exchange.read import Imported, Tail, read_qonnx
from intaglio.exchange.write import write_qonnx

__all__ = ["Imported", "Tail", "read_qonnx", "write_qonnx"]
