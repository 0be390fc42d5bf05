"""All commands that join maskkit's command line."""
