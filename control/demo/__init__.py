"""The demo: a real campaign on embedded parts, from a CSV of companies to stored drafts."""
