"""DenseNet121-CBAM: molecular subtype from the region of a tumour."""
