"""The registries that a node can share its tools and datasets through."""
