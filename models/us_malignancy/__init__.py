"""us-malignancy: a DenseNet of three blocks that calls the region of an ultrasound lesion benign or malignant."""
