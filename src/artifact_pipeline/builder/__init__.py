"""Everything that decides a byte of an artifact; the digest of this folder is a recipe's `code`."""
