"""The results of commands as text: what each command prints."""
