"""The mask, whole: see README.md beside this file."""
