"""Prints the ratios of the run as one table, at its end."""

COLUMNS = ("kernel", "floors", "dense", "causal_flag", "flex", "rows", "growth")


def pytest_terminal_summary(terminalreporter, config):
    session = getattr(config, "_benchmarksession", None)
    found = [one for one in getattr(session, "benchmarks", ()) if set(COLUMNS) & set(one.extra_info)]
    if not found:
        return
    cells = [("median, ms", *COLUMNS, "")]
    for one in found:
        values = [one.extra_info.get(column, "") for column in COLUMNS]
        shown = [f"{value:.2f}" if isinstance(value, float) else str(value) for value in values]
        cells.append((f"{one.stats.median * 1e3:,.1f}", *shown, one.name))
    wide = [max(len(row[i]) for row in cells) for i in range(len(COLUMNS) + 1)]
    terminalreporter.section("ratios")
    for row in cells:
        terminalreporter.write_line(
            "  ".join([*(cell.rjust(size) for cell, size in zip(row, wide, strict=False)), row[-1]])
        )
