"""Pictures of patterns: the share of each cell, and it as text, SVG and matplotlib figure."""
