"""What is measured, each file in a process of its own."""
