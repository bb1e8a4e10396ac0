"""Text for people: cleaned texts of servers, redacted secrets, suggested names, HTML tables."""
