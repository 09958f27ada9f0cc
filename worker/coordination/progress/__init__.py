"""Progress of a thread of work: numbered events that any number of readers follow."""
