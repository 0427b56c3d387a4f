"""The extension surface: hook specifications (the reference manual), the registry, one-file plugins."""
