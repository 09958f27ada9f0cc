"""What the rooms need of each other, as Protocols; every one has an in-process implementation."""
