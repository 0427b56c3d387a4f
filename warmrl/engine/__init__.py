"""The engine: resolves a recipe, runs its stages, keeps what they made, and measures it."""
