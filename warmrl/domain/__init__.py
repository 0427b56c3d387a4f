"""The vocabulary: recipe schema, groups, base classes of the plugin kinds, errors. No torch, no I/O."""
