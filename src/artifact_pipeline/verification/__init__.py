"""Read once, hash, compare, and only then parse."""
