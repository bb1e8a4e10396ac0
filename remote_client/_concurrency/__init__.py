"""Forks, threads, event loops and iterators: what asyncio and threading leave to their users."""
