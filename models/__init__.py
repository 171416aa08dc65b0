"""Networks and their weights. Sees arrays, never DICOM."""
