"""What users hold: clients, finders, modules, jobs."""
