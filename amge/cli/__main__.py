"""`python -m amge.cli`."""

from amge.cli import main

main()
