"""FPNNet: Faster R-CNN with ResNet-50 and FPN that finds benign and malignant microcalcifications."""
