"""Pictures: how much of each cell of a grid is allowed, and that as text, SVG or a matplotlib figure."""
