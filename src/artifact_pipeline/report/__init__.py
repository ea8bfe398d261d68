"""The report of a verified artifact, as HTML and as text."""
