"""`python -m amge.cli`."""

from amge.cli import app

app()
