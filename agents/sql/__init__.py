"""The small piece of SQL plumbing under the knowledge and record stores."""
