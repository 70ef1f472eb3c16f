"""One command from a recipe to proven hardware: the steps of `intaglio run`."""
