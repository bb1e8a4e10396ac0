"""Forks, threads, shared work and iterators: what asyncio and threading do not offer."""
