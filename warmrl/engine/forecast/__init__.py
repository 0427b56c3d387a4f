"""What a recipe will take before it is run: memory of every phase, tokens, operations, time, disk; what cannot fit."""
