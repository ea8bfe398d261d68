"""`python -m artifact_pipeline` is `artifact-pipeline`."""

from artifact_pipeline.cli import main

if __name__ == "__main__":
    main()
