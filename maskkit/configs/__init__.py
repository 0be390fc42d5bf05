"""Plain data into items and back: parameters, mappings, expressions, files, templates."""
