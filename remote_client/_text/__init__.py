"""Text for people: redacted secrets, suggested names, HTML tables."""
