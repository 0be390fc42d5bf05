"""`python -m maskkit`."""

from maskkit.cli import main

main()
