"""Regions of lesions in one or two views of a breast, and what models make of them: receptors, subtypes, the node."""
