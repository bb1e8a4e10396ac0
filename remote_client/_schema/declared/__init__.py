"""Schemas that classes declare: of this package, and of caikit."""
