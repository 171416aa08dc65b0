"""Readers of the objects in which a person marks regions, one module a kind; `pipelines.regions` chooses among them."""
