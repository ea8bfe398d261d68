"""What `docs/security.md` and `docs/reproducibility.md` claim, counted: one module a claim.

`python -m benchmarks.trust` counts in full; the tests count a seeded sample with the same code.
"""
