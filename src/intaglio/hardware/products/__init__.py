"""How lanes multiply. A new product is one file, one line here, and one SystemVerilog module with its bench."""

from intaglio.hardware.products.bases import Bases
from intaglio.hardware.products.binary import Binary
from intaglio.hardware.products.integer import Integer
from intaglio.hardware.products.product import Dot, Lane, Product, Words
from intaglio.hardware.products.shift import Shift
from intaglio.hardware.products.ternary import Ternary

PRODUCTS: tuple[type[Product], ...] = (Integer, Binary, Ternary, Bases, Shift)

__all__ = ["PRODUCTS", "Dot", "Lane", "Product", "Words"]
