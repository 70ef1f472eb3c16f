"""One picture per file: a function from plain rows to a piece of HTML, empty where there is nothing."""
