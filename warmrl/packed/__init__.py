"""The packed core: groups of completions in rows that compute each prompt and each image once, exactly."""
