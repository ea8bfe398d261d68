"""Tables of one's own: found, read, typed and checked; no pandas and no scikit-learn."""
