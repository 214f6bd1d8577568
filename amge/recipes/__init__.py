"""What makes the shipped weights, and training runs by name; `python -m amge.recipes --help`."""
