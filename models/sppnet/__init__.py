"""SPPNet: ResNet-18 with spatial pyramid pooling that calls one whole mammogram benign or malignant."""
