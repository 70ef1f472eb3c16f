"""The table of supported layers as Markdown, for `docs/howto/own_network.md`: `python -m intaglio.twin.table`."""

from intaglio.twin.supported import PRODUCTS, SUPPORTED, UNSUPPORTED, Row


def page() -> str:
    """The table as Markdown: layer, functional forms, restrictions, and what to write instead."""
    lines = ["| layer | functional form | restrictions | write instead |", "|---|---|---|---|"]
    for row in SUPPORTED:
        note = [row.note] if row.note else []
        limits = [*note, *(r.problem for r in row.restrictions)]
        remedies = dict.fromkeys(r.remedy.words for r in row.restrictions)
        lines.append(_line(row, "; ".join(limits) or "none", "; ".join(remedies) or "–"))
    for row in UNSUPPORTED + PRODUCTS:
        note = f" ({row.note})" if row.note else ""
        lines.append(_line(row, f"no integer form{note}", row.remedy.words if row.remedy else "–"))
    return "\n".join(lines) + "\n"


def _line(row: Row, restrictions: str, remedies: str) -> str:
    layers = [f"`nn.{kind.__name__}`" for kind in row.layers if kind.__module__.startswith("torch.")]
    forms = [f"`{name}`" for name in row.forms]
    return f"| {', '.join(layers) or '–'} | {', '.join(forms) or '–'} | {restrictions} | {remedies} |"


if __name__ == "__main__":
    print(page(), end="")
