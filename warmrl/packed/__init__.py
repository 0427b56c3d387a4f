"""The packed core: groups of completions in rows that compute each prompt and each image once, exactly."""

from warmrl.packed.operators import complete_torchvision

complete_torchvision()  # before any of its modules imports transformers
