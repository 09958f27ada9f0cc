"""Child processes that measure what happens inside one process."""
