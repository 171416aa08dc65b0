"""Microcalcifications on mammograms: detection, classification and the status of each breast."""
