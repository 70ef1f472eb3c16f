"""How lanes multiply. A new product is one file, one line here, and one SystemVerilog module with its bench."""

from intaglio.hardware.products.bases import BasesProduct
from intaglio.hardware.products.binary import BinaryProduct
from intaglio.hardware.products.integer import IntegerProduct
from intaglio.hardware.products.product import Dot, Lane, Product, WeightWords
from intaglio.hardware.products.shift import ShiftProduct
from intaglio.hardware.products.ternary import TernaryProduct

PRODUCTS: tuple[type[Product], ...] = (IntegerProduct, BinaryProduct, TernaryProduct, BasesProduct, ShiftProduct)

__all__ = ["PRODUCTS", "Dot", "Lane", "Product", "WeightWords"]
