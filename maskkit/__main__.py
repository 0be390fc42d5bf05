"""The program: `maskkit`, and `python -m maskkit`."""

import sys


def main() -> None:
    """Run the command line; an interrupt while it is being imported is one too."""
    try:
        from maskkit.cli import main
    except KeyboardInterrupt:
        sys.exit(130)
    main()


if __name__ == "__main__":
    main()
