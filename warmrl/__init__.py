"""warmrl: two-stage post-training experiments on vision-language models, from one recipe."""

from warmrl.operators import watch

__version__ = "0.1.0"

watch()
