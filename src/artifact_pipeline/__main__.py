"""The program `artifact-pipeline`, which is also `python -m artifact_pipeline`."""

import gc


def main() -> None:
    """Run the command line and exit with its code."""
    # Imports leave no garbage; by default the collector would look for it dozens of times.
    gc.set_threshold(50_000)
    from artifact_pipeline import cli

    cli.main()


if __name__ == "__main__":
    main()
