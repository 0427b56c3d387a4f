"""Before any test imports transformers: a torchvision that was built for another torch is made harmless."""

import warmrl  # noqa: F401
