"""warmrl: two-stage post-training experiments on vision-language models, from one recipe."""

__version__ = "0.1.0"
