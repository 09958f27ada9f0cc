"""What Muster is measured against."""
