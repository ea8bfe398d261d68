"""What `docs/security.md` and `docs/reproducibility.md` claim, counted: one module a claim.

`python -m tests.robustness` counts in full; the tests count a seeded sample with the same code.
"""
