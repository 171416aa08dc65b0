"""The DICOM node: receive, assemble, queue, deliver. Knows DICOM networking and nothing of models."""
