"""SPPNet on patches of malignant calcifications: invasion and estrogen receptor."""
