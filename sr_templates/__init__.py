"""From a report of plain values to encoded DICOM result objects."""
