"""Training: planted lesions, the crops that the networks learn from, and the loops. Nothing here reads DICOM."""
