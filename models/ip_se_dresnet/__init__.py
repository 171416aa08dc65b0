"""IP-SE-DResNet: estrogen receptor from the region of a tumour in CC, MLO or both."""
