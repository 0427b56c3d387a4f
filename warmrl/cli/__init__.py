"""The command line: one short file per command; what is heavy is imported inside the command."""
